// The example cards: native buttons in one stop of the Tab key; arrows move between them.

const buttons = () => [...element.querySelectorAll("button")];

function stop(at) {
  for (const button of buttons()) button.tabIndex = button === at ? 0 : -1;
}

// With all of the visitor's places taken, the cards are off, and the reason is beside the button.
const isFull = () => document.getElementById("separate")?.disabled ?? false;

function showPlaces() {
  const note = document.getElementById("places");
  if (!note) return;
  const said = isFull() ? element.querySelector(".song-cards").dataset.full : "";
  if (note.textContent !== said) note.textContent = said;
  for (const card of element.querySelectorAll("button[data-song]")) {
    card.setAttribute("aria-disabled", String(isFull()));
    if (isFull()) card.setAttribute("aria-describedby", "places");
    else card.removeAttribute("aria-describedby");
  }
}

function chooseExample(song) {
  if (!isFull()) return trigger("choose_example", { song });
  document.getElementById("places").scrollIntoView({ block: "center" });
}

element.addEventListener("click", (event) => {
  const card = event.target.closest("button[data-song]");
  if (card) chooseExample(card.dataset.song);
  if (event.target.closest(".get-tracks")) trigger("fetch_tracks");
});
element.addEventListener("song", (event) => chooseExample(event.detail)); // asked for by a chart
element.addEventListener("keydown", (event) => {
  const forward = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
  const steps = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 };
  if (!(event.key in steps)) return;
  const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
  const step = sideways ? (event.key === forward ? 1 : -1) : steps[event.key];
  const all = buttons();
  const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
  stop(next);
  next.focus();
  event.preventDefault();
});
element.addEventListener("focusin", (event) => event.target.matches("button") && stop(event.target));
const first = () => buttons().every((button) => button.tabIndex < 0 || !button.hasAttribute("tabindex")) && stop(buttons()[0]);
watch("value", () => {
  first();
  showPlaces();
});
first();
new MutationObserver(showPlaces).observe(element.closest("#form"), {
  subtree: true,
  childList: true,
  attributes: true,
  attributeFilter: ["disabled"],
});
showPlaces();
