// Elements that share the song's time axis: rulers, waveforms and spectrograms with playheads.

import { make } from "./dom.js";
import { colourOf, drawRuler, drawWaveform } from "./drawing.js";
import { addZoomGestures } from "./gestures.js";
import { addLoopHandles } from "./loop_handles.js";
import { lowestFrequency } from "./spectrum.js";

// Wrap content so that a click seeks (after calling `listen`), and dragging along a ruler sets the loop.
export function seekable(player, content, { ruler = false, listen = null } = {}) {
  const playhead = make("i", { class: "playhead", "aria-hidden": "true" });
  const region = ruler || player.isZoomable ? make("i", { class: "loop-region", "aria-hidden": "true" }) : null;
  const area = make("div", { class: `place${ruler ? " ruler" : ""}` }, content, region, playhead);
  player.places.push({ area, playhead, region });
  const timeAt = (event) => {
    const box = area.getBoundingClientRect();
    const place = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    return player.viewport.position(place) * player.duration;
  };
  area.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary || event.target.closest("button")) return;
    const [from, before] = [timeAt(event), player.session.engine.loop];
    const isDrag = (to) => ruler && Math.abs(to - from) > 0.02 * player.duration * player.viewport.length;
    const isOurs = (later) => later.pointerId === event.pointerId && area.isConnected;
    const move = (later) => {
      const to = timeAt(later);
      if (isOurs(later) && isDrag(to)) player.session.previewLoop(Math.min(from, to), Math.max(from, to));
    };
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
      window.removeEventListener("pointercancel", cancel);
      window.removeEventListener("pointerdown", cancel, true);
    };
    const cancel = () => {
      end();
      if (ruler) player.session.showLoop(before);
    };
    const up = (later) => {
      if (later.pointerId !== event.pointerId) return;
      end();
      const to = timeAt(later);
      if (!area.isConnected) return;
      if (isDrag(to)) return player.setLoop(Math.min(from, to), Math.max(from, to));
      listen?.();
      player.seek(from);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
    window.addEventListener("pointercancel", cancel);
    window.addEventListener("pointerdown", cancel, true); // a second finger zooms
  });
  if (player.isZoomable) addZoomGestures(area, player.session);
  if (ruler) addLoopHandles(area, player);
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
    drawRuler(canvas, player.duration, { ink: player.inkColour, viewport: player.viewport });
  });
}

// Create the waveform of the first track of `ids` that has peaks.
export function waveform(player, ids, style = () => ({ colour: colourOf(player, "mixture") })) {
  return drawnCanvas(player, "wave", (canvas) => {
    const id = ids().find((candidate) => player.peaks.get(candidate));
    if (!id) return;
    const detailed = player.isZoomable && player.detail.isUseful;
    const columns = Math.max(1, Math.round(canvas.clientWidth));
    const closer = detailed ? player.detail.peaks(id, columns, () => player.draw()) : null;
    const peaks = closer ?? player.peaks.get(id);
    drawWaveform(canvas, peaks, { edge: player.peaks.highest, viewport: closer ? null : player.viewport, ...style() });
  });
}

// Create a spectrogram image with frequency labels on its logarithmic axis. With the `id` of its track, a closer look is
// drawn over the image when the view is zoomed.
export function spectrogram(player, url, alt, { id = null } = {}) {
  const { highest } = player.manifest;
  const low = lowestFrequency(player.manifest);
  const labels = [100, 1000, 10000]
    .filter((hertz) => hertz > low && hertz < 0.9 * highest)
    .map((hertz) =>
      make(
        "span",
        { style: `bottom:${(100 * Math.log(hertz / low)) / Math.log(highest / low)}%` },
        hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`,
      ),
    );
  const image = make("img", { src: url, alt, draggable: "false" });
  if (!id || !player.isZoomable) return make("div", { class: "spectrogram" }, image, ...labels);
  const canvas = drawnCanvas(player, "closer", (closer) => showCloser(player, id, image, closer));
  return make("div", { class: "spectrogram" }, image, canvas, ...labels);
}

// Show the part of the image that is in view, and the closer look over it as soon as it is drawn.
function showCloser(player, id, image, canvas) {
  const { from, length } = player.viewport;
  image.style.width = `${100 / length}%`;
  image.style.marginLeft = `${(-100 * from) / length}%`;
  const box = canvas.parentElement.getBoundingClientRect();
  canvas.hidden = !player.detail.isUseful || !box.width;
  if (canvas.hidden) return;
  const columns = Math.min(1000, Math.round(box.width));
  const rows = Math.max(80, Math.min(240, Math.round(box.height)));
  const showIfCurrent = () => canvas.classList.toggle("ready", canvas.dataset.done === canvas.dataset.key);
  player.detail.draw(id, canvas, columns, rows, () => player.draw()).then(showIfCurrent);
  showIfCurrent();
}
