// Elements that share the song's time axis: rulers, waveforms and spectrograms with playheads.

import { make } from "./dom.js";
import { colourOf, drawRuler, drawWaveform } from "./drawing.js";

// Wrap content so that a click seeks (after calling `listen`), and dragging along a ruler sets the loop.
export function seekable(player, content, { ruler = false, listen = null } = {}) {
  const playhead = make("i", { class: "playhead", "aria-hidden": "true" });
  player.playheads.push(playhead);
  const area = make("div", { class: `place${ruler ? " ruler" : ""}` }, content, playhead);
  const timeAt = (event) => {
    const box = area.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * player.duration;
  };
  area.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const from = timeAt(event);
    const isDrag = (to) => ruler && Math.abs(to - from) > 0.02 * player.duration;
    const move = (later) => {
      const to = timeAt(later);
      if (isDrag(to)) player.setLoop(Math.min(from, to), Math.max(from, to));
    };
    const up = (later) => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
      if (isDrag(timeAt(later))) return;
      listen?.();
      player.seek(from);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
  });
  return area;
}

// Create a canvas that is redrawn by `draw(canvas)` with the rest of the player.
export function drawnCanvas(player, kind, draw) {
  const canvas = make("canvas", { class: kind, "aria-hidden": "true" });
  player.canvases.push({ canvas, draw });
  return canvas;
}

export function timeRuler(player) {
  return drawnCanvas(player, "ruler", (canvas) => {
    drawRuler(canvas, player.duration, { ink: player.inkColour, loop: player.loopSeconds });
  });
}

// Create the waveform of the first track of `ids` that has peaks.
export function waveform(player, ids, style = () => ({ colour: colourOf(player, "mixture") })) {
  return drawnCanvas(player, "wave", (canvas) => {
    const peaks = ids().map((id) => player.peaks.get(id)?.samples).find(Boolean);
    drawWaveform(canvas, peaks, { edge: player.highestPeak, ...style() });
  });
}

// Create a spectrogram image with frequency labels on its logarithmic axis.
export function spectrogram(player, url, alt) {
  const { lowest, highest } = player.manifest;
  const low = Math.min(lowest, highest / 4);
  const labels = [100, 1000, 10000]
    .filter((hertz) => hertz < 0.9 * highest)
    .map((hertz) =>
      make(
        "span",
        { style: `bottom:${(100 * Math.log(hertz / low)) / Math.log(highest / low)}%` },
        hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`,
      ),
    );
  return make("div", { class: "spectrogram" }, make("img", { src: url, alt, draggable: "false" }), ...labels);
}
