// Draws on canvases: waveforms from precomputed peaks, and time rulers.

import { formatNumber } from "./i18n.js";
import { stemProperty } from "./method_style.js";

// Return the colour of a stem for a canvas.
export function colourOf(element, name, index) {
  return getComputedStyle(element).getPropertyValue(stemProperty(name, index)).trim() || "#888";
}

// Clear a canvas and match its resolution to the screen. Returns its context and its size in CSS pixels.
function clearCanvas(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

// Decode peaks: all columns' minima, then all maxima, as signed bytes that store sqrt(|sample| / 4).
export function decodePeaks(bytes) {
  return Float32Array.from(new Int8Array(bytes), (value) => Math.sign(value) * (value / 127) ** 2 * 4);
}

// Draw peaks: those of the whole song, of which the part in the viewport is shown, or without one all of them.
export function drawWaveform(canvas, peaks, { colour, edge, dimmed, viewport = null }) {
  const { pen, width, height } = clearCanvas(canvas);
  if (!width || !peaks) return;
  const columns = peaks.length / 2;
  const columnAt = (place) => Math.min(columns - 1e-6, Math.max(0, (viewport ? viewport.position(place) : place) * columns));
  const middle = height / 2;
  const scale = (0.94 * middle) / edge;
  pen.globalAlpha = dimmed ? 0.35 : 1;
  pen.fillStyle = colour;
  const steps = Math.max(1, Math.round(width));
  for (let x = 0; x < steps; x++) {
    const first = Math.floor(columnAt(x / steps));
    const last = Math.max(first + 1, Math.floor(columnAt((x + 1) / steps)));
    let low = Infinity;
    let high = -Infinity;
    for (let column = first; column < last; column++) {
      low = Math.min(low, peaks[column]);
      high = Math.max(high, peaks[columns + column]);
    }
    const top = Math.max(0, middle - Math.min(high * scale, middle));
    const bottom = Math.min(height, middle - Math.max(low * scale, -middle));
    pen.fillRect((x * width) / steps, top, width / steps + 0.3, Math.max(1, bottom - top));
  }
  pen.globalAlpha = 1;
}

// Format seconds as m:ss.s or h:mm:ss.s.
export function formatTime(seconds) {
  const time = Math.round(10 * Math.max(0, seconds)) / 10; // before it is split, else 59.97 s are 0:60.0
  const hours = Math.floor(time / 3600);
  const minutes = Math.floor((time % 3600) / 60);
  const rest = formatNumber(time % 60, 1).padStart(4, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

// Return ruler ticks between two times at round numbers of seconds, about 70 pixels apart.
export function ticksBetween(from, to, width) {
  const spacing = ((to - from) / Math.max(width, 1)) * 70;
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
  const step = steps.find((candidate) => candidate >= spacing) ?? 7200;
  const ticks = [];
  for (let index = Math.ceil(from / step - 1e-9); index * step <= to + 1e-9; index++) ticks.push(index * step);
  return { ticks, step };
}

function tickLabel(time, step) {
  const minutes = Math.floor(time / 60 + 1e-9);
  const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  return `${minutes}:${formatNumber(Math.max(0, time - 60 * minutes), digits).padStart(digits ? 3 + digits : 2, "0")}`;
}

export function drawRuler(canvas, duration, { ink, viewport }) {
  const { pen, width, height } = clearCanvas(canvas);
  if (!width) return;
  pen.fillStyle = ink;
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "top";
  const { ticks, step } = ticksBetween(viewport.from * duration, viewport.to * duration, width);
  for (const time of ticks) {
    const x = viewport.place(time / duration) * width;
    pen.globalAlpha = 0.6;
    pen.fillRect(x, height - 5, 1, 5);
    pen.globalAlpha = 1;
    const text = tickLabel(time, step);
    if (x + pen.measureText(text).width + 3 < width) pen.fillText(text, x + 3, 2);
  }
}
