// The button of the bar that opens the controls for the speed and the pitch of playback.

import { make } from "./dom.js";
import { word } from "./i18n.js";
import { icon } from "./icons.js";
import { StretchNodes } from "./stretch_nodes.js";

// Return {element, update} for a session; `update` shows its values.
export function speedControls(session) {
  const disabled = !StretchNodes.areSupported;
  const slider = (name, title, range, set) => {
    const value = make("output", {});
    const input = make("input", {
      type: "range", id: `dock-${name}`, "aria-label": title, ...range, disabled,
      oninput: (event) => set(Number(event.target.value)),
    });
    return { input, value, label: make("label", {}, make("span", {}, title), input, value) };
  };
  const percents = { min: 50, max: 150, step: 1 };
  const speed = slider("speed", word("playback_speed"), percents, (percent) => session.engine.setSpeed(percent / 100));
  const semitones = { min: -12, max: 12, step: 1 };
  const pitch = slider("pitch", word("transposition"), semitones, (value) => session.engine.setTransposition(value));
  const reset = () => {
    session.engine.setSpeed(1);
    session.engine.setTransposition(0);
  };
  const panel = make(
    "div",
    { class: "panel", role: "group", "aria-label": word("speed_and_pitch") },
    speed.label,
    pitch.label,
    disabled
      ? make("p", {}, word("stretch_unsupported"))
      : make("button", { id: "dock-original", onclick: reset }, word("original_speed")),
  );
  const summary = make("summary", { id: "dock-stretch", title: word("speed_and_pitch") }, icon("speed"));
  const state = make("span", { class: "state" });
  summary.append(make("span", { class: "hidden-text" }, word("speed_and_pitch")), state);
  const element = make("details", { class: "stretch" }, summary, panel);
  closeOnLeaving(element, summary);
  const update = () => {
    const { engine } = session;
    const percent = Math.round(100 * engine.speed);
    const texts = [word("percent", { percent }), word("semitones", { semitones: signedNumber(engine.semitones) })];
    showValue(speed, percent, texts[0]);
    showValue(pitch, engine.semitones, texts[1]);
    const shown = engine.semitones === 0 ? texts[0] : texts.join(" ");
    if (state.textContent !== shown) state.textContent = shown;
    element.classList.toggle("changed", percent !== 100 || engine.semitones !== 0);
  };
  update();
  return { element, update };
}

function showValue({ input, value }, number, text) {
  if (Number(input.value) !== number) input.value = number;
  value.textContent = text;
  input.setAttribute("aria-valuetext", text);
}

function signedNumber(number) {
  return `${number > 0 ? "+" : number < 0 ? "−" : ""}${Math.abs(number)}`;
}

// Escape closes the panel, and so does a click or the focus somewhere else.
function closeOnLeaving(element, summary) {
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !element.open) return;
    element.open = false;
    summary.focus();
  });
  element.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !element.contains(relatedTarget)) element.open = false;
  });
  const onPointer = ({ target }) => {
    if (!element.contains(target)) element.open = false;
  };
  element.addEventListener("toggle", () => {
    if (element.open) document.addEventListener("pointerdown", onPointer);
    else document.removeEventListener("pointerdown", onPointer);
  });
}
