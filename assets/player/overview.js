// A strip with the whole song, in which the zoomed part is marked and can be moved.

import { make } from "./dom.js";
import { colourOf, drawWaveform } from "./drawing.js";
import { drawnCanvas } from "./timeline.js";

export function overview(player) {
  const { session } = player;
  const canvas = drawnCanvas(player, "overview", (strip) => {
    const peaks = session.peaks.get("song/mixture");
    drawWaveform(strip, peaks, { colour: colourOf(player, "mixture"), edge: session.peaks.highest });
  });
  const frame = make("i", { class: "frame", "aria-hidden": "true" });
  const element = make("div", { class: "overview", hidden: true }, canvas, frame);
  const move = (event) => {
    const box = element.getBoundingClientRect();
    const centre = (event.clientX - box.left) / box.width;
    const { viewport } = session;
    session.scroll((centre - viewport.from - viewport.length / 2) / viewport.length);
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    element.addEventListener("pointermove", move);
    element.addEventListener("lostpointercapture", () => element.removeEventListener("pointermove", move), { once: true });
    move(event);
  });
  const update = () => {
    const { viewport } = session;
    element.hidden = !viewport.isZoomed;
    Object.assign(frame.style, { left: `${100 * viewport.from}%`, width: `${100 * viewport.length}%` });
  };
  return { element, update };
}
