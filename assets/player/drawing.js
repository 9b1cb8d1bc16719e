// Draws on canvases: waveforms from precomputed peaks, time rulers, and charts of scores over time.

const COLOURS = {
  mixture: "--player-mixture",
  vocals: "--player-vocals",
  drums: "--player-drums",
  bass: "--player-bass",
  other: "--player-other",
  residual: "--player-residual",
};
const CYCLE = ["--player-vocals", "--player-drums", "--player-bass", "--player-other"];

// Return the colour of a stem. Custom stems take turns with the colours of the four usual ones.
export function colourOf(element, name, index = 0) {
  const property = COLOURS[name] ?? CYCLE[index % CYCLE.length];
  return getComputedStyle(element).getPropertyValue(property).trim() || "#888";
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
  const time = Math.max(0, seconds);
  const hours = Math.floor(time / 3600);
  const minutes = Math.floor((time % 3600) / 60);
  const rest = (time % 60).toFixed(1).padStart(4, "0");
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
  return `${minutes}:${Math.max(0, time - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
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

// Return the range of a score chart in whole dB, or null without scores.
// It spans at least 4 dB and at most 60 dB, without the outliers.
function scoreRange(lines) {
  const values = lines.flatMap((line) => line.points.map((point) => point.value)).filter((value) => value !== null);
  if (!values.length) return null;
  values.sort((one, other) => one - other);
  const quantile = (share) => values[Math.min(values.length - 1, Math.floor(share * values.length))];
  const low = Math.floor(Math.min(quantile(0.03), 0));
  const high = Math.ceil(Math.max(quantile(0.97), low + 4));
  return { low: Math.max(low, high - 60), high };
}

function drawScoreLevels(pen, width, y, { low, high }, { ink, unit }) {
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.fillStyle = ink;
  const step = [1, 2, 5, 10, 20].find((candidate) => (high - low) / candidate <= 5) ?? 20;
  const lowest = Math.ceil(low / step) * step;
  for (let level = lowest; level <= high; level += step) {
    pen.globalAlpha = level === 0 ? 0.6 : 0.22;
    pen.fillRect(0, y(level), width, 1);
    pen.globalAlpha = 1;
    pen.fillText(level === lowest ? `${level} ${unit}` : `${level}`, 4, y(level) - 7);
  }
}

// Draw one line per method over time, with gaps where a frame has no score.
export function drawScores(canvas, lines, duration, style) {
  const { pen, width, height } = clearCanvas(canvas);
  if (!width) return;
  const range = scoreRange(lines);
  if (!range) return;
  const { low, high } = range;
  const y = (value) => 6 + ((high - Math.max(low, Math.min(high, value))) / (high - low)) * (height - 12);
  drawScoreLevels(pen, width, y, range, style);
  for (const line of lines) {
    pen.strokeStyle = line.colour;
    pen.lineWidth = line.chosen ? 2.5 : 1.5;
    pen.globalAlpha = line.chosen ? 1 : 0.75;
    pen.setLineDash(line.dash);
    pen.beginPath();
    let drawing = false;
    for (const { from, to, value } of line.points) {
      if (value === null) {
        drawing = false;
        continue;
      }
      const left = (from / duration) * width;
      const right = (to / duration) * width;
      if (drawing) pen.lineTo(left, y(value));
      else pen.moveTo(left, y(value));
      pen.lineTo(right, y(value));
      drawing = true;
    }
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }
}
