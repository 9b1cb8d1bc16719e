// The drop zone: our words and buttons in front of Gradio's upload and recorder, which work out of sight.

const form = element.closest("#form");
const audio = () => document.getElementById("upload");
const find = (selector) => audio()?.querySelector(selector) ?? null;
const zone = () => element.querySelector(".drop");

let fileName = ""; // until the server has said what the file is

function stateNow() {
  if (find(".uploading")) return "uploading";
  if (find(".waveform-container")) return "chosen";
  return find(".record-button") ? "recording" : "empty";
}

// Choose the source of sound: 0 is a file, 1 the microphone. Gradio lays its parts out anew, even for the same source.
function useSource(number) {
  const button = audio()?.querySelectorAll(".source-selection button")[number];
  if (button && !button.classList.contains("selected")) button.click();
}

// Call when Gradio has laid out a part.
function whenThere(selector, act) {
  if (find(selector)) return act(find(selector));
  const observer = new MutationObserver(() => {
    if (!find(selector)) return;
    observer.disconnect();
    act(find(selector));
  });
  observer.observe(form, { subtree: true, childList: true });
}

function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// What had the focus is hidden or removed now.
function hasLostFocus() {
  const focused = document.activeElement;
  return focused === document.body || zone().contains(focused) || find(":focus") !== null;
}

function show() {
  const state = stateNow();
  const here = zone();
  if (!here) return;
  for (const name of here.querySelectorAll(".drop-name")) write(name, props.song || fileName);
  write(here.querySelector("time"), props.length);
  here.querySelector(".track i").style.width = `${Number(find("progress")?.value ?? 0)}%`;
  if (here.dataset.state === state) return;
  const isFirst = !here.dataset.state;
  here.dataset.state = state;
  form.querySelector("#song").dataset.state = state;
  if (!isFirst && hasLostFocus()) here.focus({ preventScroll: true });
}

function removeSong() {
  fileName = "";
  find(".icon-button-wrapper button:last-child")?.click();
  useSource(0);
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.matches(".drop-remove")) removeSong();
  if (button?.matches(".drop-choose")) {
    useSource(0);
    whenThere("input[type=file]", (input) => input.click());
  }
  if (button?.matches(".drop-record")) {
    useSource(1);
    whenThere(".record-button", (record) => record.focus());
  }
});
const noteName = ({ target }) => {
  if (target.closest("#upload") && target.files?.length) fileName = target.files[0].name;
};
form.addEventListener("change", noteName, true);
watch(["zone", "song", "length"], show);
new MutationObserver(show).observe(form, { subtree: true, childList: true, attributes: true, attributeFilter: ["value"] });
show();
