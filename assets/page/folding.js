// The form in one line: song, methods and a button that opens the form again.
// It folds when work begins or a player appears, unless the visitor has opened it since.

const form = document.getElementById("form");
const words = { ...window.stemscopeWords.en, ...window.stemscopeWords[window.stemscopeLanguage] };
const text = (key) => words[key] ?? key;
const part = (id) => document.getElementById(id);
const player = () => document.querySelector("#result stem-player");
const busy = () => part("stop") !== null && !part("stop").disabled;

let opened = false; // by the visitor, while there is something to fold for
let shownPlayer = null; // the player that has had the focus
let summary = { song: "", methods: "" };

function chosenMethods() {
  const boxes = [...document.querySelectorAll("#methods input:checked:not(:disabled)")];
  return boxes.map((box) => document.querySelector(`label[for="${box.id}"]`).textContent);
}

function write(line, { song, methods }) {
  if (line === null) return;
  line.querySelector("strong").textContent = song;
  line.querySelector("span").textContent = methods;
}

const writeFolded = () => write(element.querySelector(".folded-text"), summary);
const writeChoice = () => write(part("choice"), { song: props.value, methods: chosenMethods().join(", ") });

// A page that was opened by a link has an empty form: the status knows what the job is about.
function readJob() {
  const job = part("status")?.querySelector(".job");
  if (!job || summary.song) return;
  summary = { ...job.dataset };
  writeFolded();
}

function fold(folded) {
  if (form.classList.contains("folded") === folded) return;
  const hadFocus = form.contains(document.activeElement) || document.activeElement === document.body;
  form.classList.toggle("folded", folded);
  part("folded").classList.toggle("shown", folded);
  if (folded && hadFocus) part("status").focus({ preventScroll: true });
  if (folded) part("folded").scrollIntoView({ block: "start" });
}

function look() {
  for (const id of ["status", "result"]) part(id)?.setAttribute("tabindex", "-1");
  const here = player();
  const manifest = here?.getAttribute("manifest") ?? null;
  noteUploads();
  tellRefusal();
  document.body.dataset.stage = busy() ? "working" : here ? "done" : "empty";
  readJob();
  fold((busy() || here !== null) && !opened);
  if (manifest !== null && manifest !== shownPlayer && !opened) {
    shownPlayer = manifest;
    if ([document.body, part("status")].includes(document.activeElement)) part("result").focus({ preventScroll: true });
  }
}

// -- what cannot work is said at its field, before anything is sent

function complain(id, message, isWaiting = false) {
  const field = part(id);
  let line = field.querySelector(".field-error");
  if (line === null) {
    line = document.createElement("p");
    line.className = "field-error";
    if (id === "methods") field.prepend(line); // the cards are taller than a phone
    else field.append(line);
  }
  line.id = `${id}-error`;
  line.setAttribute("role", "alert");
  line.textContent = message;
  line.classList.toggle("waiting", isWaiting);
  line.hidden = false;
  const place = field.querySelector(".drop") ?? field; // not the examples beside it
  const inputs = [...place.querySelectorAll("input:not(:disabled), button:not(:disabled)")];
  const input = inputs.find((one) => one.checkVisibility()) ?? place;
  input.setAttribute("aria-describedby", line.id);
  input.focus({ preventScroll: true });
  line.scrollIntoView({ block: "center" });
}

// -- what the server refuses is said at its field too

const HOLDERS = { start: "advanced", length: "advanced", references: "own", estimates: "own" };
const PATIENCE = 5000; // ms for an accordion to open

let told = null; // the key of the last refusal

async function tellRefusal() {
  const refusal = part("status")?.querySelector(".refusal");
  if (!refusal || refusal.dataset.key === told) return;
  told = refusal.dataset.key;
  const { field } = refusal.dataset;
  const isHere = field === "methods" || field in HOLDERS || hasSong(); // a page opened by a link has an empty form
  if (!field || !isHere) {
    part("status").focus({ preventScroll: true });
    part("status").scrollIntoView({ block: "center" });
    return;
  }
  const message = refusal.textContent;
  opened = true;
  fold(false);
  await openHolder(field);
  if (told === refusal.dataset.key) complain(field, message);
}

// Gradio lays out what an accordion holds when it opens.
async function openHolder(field) {
  const isThere = () => part(field)?.checkVisibility();
  if (isThere()) return;
  part(HOLDERS[field])?.querySelector("button").click();
  const end = performance.now() + PATIENCE;
  while (!isThere() && performance.now() < end) await nextFrame();
  await nextFrame(); // in which Gradio fills the fields in
  await nextFrame();
}

const nextFrame = () => new Promise((done) => requestAnimationFrame(done));

function forget() {
  for (const line of document.querySelectorAll(".field-error")) {
    line.hidden = true;
    line.textContent = "";
  }
  const status = part("status");
  if (status?.querySelector(".work.refused")) status.querySelector(".work.refused").hidden = true;
}

const hasSong = () => Boolean(props.value) || form.querySelector("#references .file-preview") !== null;

function check() {
  const number = (id) => Number(part(id)?.querySelector("input")?.value ?? 0);
  if (!hasSong()) return complain("song", text("choose_song")), false;
  if (chosenMethods().length === 0 && document.querySelector("#estimates .file-preview") === null)
    return complain("methods", text("choose_method")), false;
  if (number("start") < 0) return complain("start", text("start_negative")), false;
  if (number("length") < 0) return complain("length", text("duration_negative")), false;
  return true;
}

// -- Separate waits for files that are still being uploaded

const LATENCY = 30000; // ms from the end of an upload within which the server answers what the song is

let waiting = null; // the timer of a click that waits
let isUploading = false; // a song or its sources
let uploaded = null; // when that upload ended, until the server says what the song is

function noteUploads() {
  const wasUploading = isUploading;
  isUploading = form.querySelector("#song .uploading, #references .uploading") !== null;
  if (wasUploading && !isUploading) uploaded = performance.now();
}

const isUnanswered = () => uploaded !== null && !hasSong() && performance.now() - uploaded < LATENCY;

function isWaitingForUploads() {
  const upload = form.querySelector(".uploading");
  if (upload === null && !isUnanswered()) return waiting !== null;
  complain(upload?.closest("#song, #references, #estimates").id ?? "song", text("wait_for_upload"), true);
  waiting ??= setInterval(() => {
    if (form.querySelector(".uploading") !== null || isUnanswered()) return;
    clearInterval(waiting);
    waiting = null;
    part("separate").click();
  }, 100);
  return true;
}

document.addEventListener(
  "click",
  (event) => {
    if (event.target.closest?.("#separate")) {
      forget();
      if (isWaitingForUploads() || !check()) {
        event.stopImmediatePropagation();
        event.preventDefault();
        return;
      }
      opened = false;
      shownPlayer = null;
      summary = { song: props.value || text("references"), methods: chosenMethods().join(", ") };
      writeFolded();
      setTimeout(look, 50);
    }
    if (event.target.closest?.("#change")) {
      opened = true;
      fold(false);
      form.querySelector("input:not(:disabled), button:not(:disabled)")?.focus();
    }
  },
  true,
);
function changed() {
  forget();
  setTimeout(writeChoice);
}

for (const name of ["input", "change", "click"]) form.addEventListener(name, (event) => event.isTrusted && changed());
form.addEventListener("chosen", writeChoice);
document.addEventListener("problem", ({ detail }) => (detail.problem ? complain(detail.field, detail.problem) : forget()));
watch(["value", "problem"], () => {
  uploaded = null;
  changed();
  if (props.problem) complain("song", props.problem);
});
watch("line", writeFolded);

new MutationObserver(look).observe(form.parentElement, {
  subtree: true,
  childList: true,
  attributes: true,
  attributeFilter: ["disabled", "manifest"],
});
look();
writeChoice();
