// Controls for the speed and the pitch of playback.

import { make } from "./dom.js";
import { word } from "./i18n.js";
import { StretchNodes } from "./stretch_nodes.js";

// Return {element, update} for an engine; `update` shows its values. Ids begin with `prefix`.
export function speedControls(engine, prefix) {
  const disabled = !StretchNodes.areSupported;
  const slider = (name, hint, range, set) => {
    const value = make("output", {});
    const input = make("input", {
      type: "range", id: `${prefix}-${name}`, "aria-label": hint, ...range, disabled,
      oninput: (event) => set(Number(event.target.value)),
    });
    const title = disabled ? word("stretch_unsupported") : hint;
    return { input, value, label: make("label", { class: name, title }, input, value) };
  };
  const percents = { min: 50, max: 150, step: 1 };
  const speed = slider("speed", word("playback_speed"), percents, (percent) => engine.setSpeed(percent / 100));
  const semitones = { min: -12, max: 12, step: 1 };
  const pitch = slider("pitch", word("transposition"), semitones, (value) => engine.setTransposition(value));
  const reset = make(
    "button",
    {
      id: `${prefix}-original`, title: word("original_speed_hint"),
      onclick: () => {
        engine.setSpeed(1);
        engine.setTransposition(0);
      },
    },
    word("original_speed"),
  );
  const group = { class: "stretch", role: "group", "aria-label": word("speed_and_pitch") };
  const show = ({ input, value }, number, text) => {
    if (Number(input.value) !== number) input.value = number;
    value.textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  const update = () => {
    const percent = Math.round(100 * engine.speed);
    show(speed, percent, word("percent", { percent }));
    const sign = engine.semitones > 0 ? "+" : engine.semitones < 0 ? "−" : "";
    const steps = `${sign}${Math.abs(engine.semitones)}`;
    show(pitch, engine.semitones, word("semitones", { semitones: steps }));
    reset.setAttribute("aria-disabled", String(!engine.isStretched)); // stays in reach of the keyboard
  };
  update();
  return { element: make("div", group, speed.label, pitch.label, reset), update };
}
