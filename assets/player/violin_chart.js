// Violins of scores per track: a row per target, a column per method, and lines of one song across them.

import { formatNumber } from "./i18n.js";
import {
  ascending, escapeXml, gridLines, leaningSize, linearScale, median, niceTicks, quantile, round, spreadLabels, svgTag,
} from "./svg.js";

const VIOLIN_LEFT = 46;
const VIOLIN_RIGHT = 30; // room for the letters of the lines
const VIOLIN_ROW = 150;
const VIOLIN_GAP = 34; // above each row, for its title
const VIOLIN_COLUMN = 22; // narrowest column

const MIN_SHAPED = 4; // fewest tracks for a violin

// Draw the chart. `rows` is [{label, colour, methods: [{name, label, tracks, values, own}], lines}], with a value or
// null per track; `lines` is [{value, letter, dash, label, key}]. `keyOf(dot)` returns the key of a dot that can be picked,
// `hint(dot)` a text after its values; a dot is {name, own, track}. Returns {width, height, markup, points, table}.
export function violinChart({ rows, unit = "", width, keyOf = () => undefined, hint = () => "" }) {
  const drawn = rows.filter((row) => row.methods.some((method) => finite(method).length));
  const order = orderByMedian(drawn);
  const labelHeight = leaningSize(order.map(({ label }) => label), 50).height;
  const full = Math.max(width, VIOLIN_LEFT + VIOLIN_RIGHT + VIOLIN_COLUMN * order.length);
  const x = (index) => VIOLIN_LEFT + ((index + 0.5) * (full - VIOLIN_LEFT - VIOLIN_RIGHT)) / Math.max(1, order.length);
  const room = (full - VIOLIN_LEFT - VIOLIN_RIGHT) / Math.max(1, order.length);
  const height = drawn.length * (VIOLIN_ROW + VIOLIN_GAP) + labelHeight;
  const points = [];
  const parts = drawn.map((row, index) => {
    const top = index * (VIOLIN_ROW + VIOLIN_GAP) + VIOLIN_GAP;
    return drawRow(row, { order, x, room, top, full, unit, points, keyOf, hint });
  });
  const bottom = drawn.length * (VIOLIN_ROW + VIOLIN_GAP) + 8;
  const labels = order.map(({ label, own }, index) => {
    const place = { transform: `translate(${round(x(index) + 4)} ${bottom}) rotate(-50)`, "text-anchor": "end" };
    return svgTag("text", { ...place, class: own ? "own" : null }, escapeXml(label));
  });
  return { width: full, height, markup: [...parts, ...labels].join(""), points, table: violinTable(drawn, unit) };
}

function tipOf(label, track, value, unit, hint) {
  const values = `${label}, ${track}: ${formatNumber(value, 2)} ${unit}`.trim();
  return hint ? `${values}. ${hint}` : values;
}

function finite(method) {
  return method.values.filter((value) => value !== null && Number.isFinite(value));
}

// Return the methods, worst first, by their medians relative to those of all methods on the same targets.
export function orderByMedian(rows) {
  const leads = new Map();
  for (const row of rows) {
    const medians = row.methods.map((method) => [method, median(finite(method))]).filter(([, value]) => value !== null);
    const usual = median(medians.map(([, value]) => value));
    for (const [method, value] of medians) {
      if (!leads.has(method.name)) leads.set(method.name, { method, leads: [] });
      leads.get(method.name).leads.push(value - usual);
    }
  }
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const sorted = [...leads.values()].sort((one, other) => mean(one.leads) - mean(other.leads));
  return sorted.map(({ method: { name, label, own } }) => ({ name, label: label ?? name, own }));
}

// Return the limits of the axis: without outliers, at least 2 apart, and around all lines.
export function limitsOf(values, lines = []) {
  const sorted = ascending(values);
  const spread = Math.max(quantile(sorted, 0.9) - quantile(sorted, 0.1), 1);
  const low = Math.min(Math.max(sorted[0], quantile(sorted, 0.1) - spread), ...lines);
  const high = Math.max(Math.min(sorted.at(-1), quantile(sorted, 0.9) + spread), ...lines);
  const short = Math.max(2 - (high - low), 0);
  const margin = 0.04 * Math.max(2, high - low);
  return [low - short / 2 - margin, high + short / 2 + margin];
}

function drawRow(row, { order, x, room, top, full, unit, points, keyOf, hint }) {
  const lines = (row.lines ?? []).filter((line) => Number.isFinite(line.value));
  const [low, high] = limitsOf(row.methods.flatMap(finite), lines.map((line) => line.value));
  const y = linearScale([low, high], [top + VIOLIN_ROW, top]);
  const parts = [
    svgTag("text", { x: VIOLIN_LEFT, y: top - 12, class: "row-title", style: `fill:${row.colour}` }, escapeXml(row.label)),
    gridLines(niceTicks(low, high), { y, left: VIOLIN_LEFT, right: full - VIOLIN_RIGHT, unit }),
  ];
  for (const method of row.methods) {
    const index = order.findIndex(({ name }) => name === method.name);
    if (index < 0 || !finite(method).length) continue;
    const colour = method.own ? row.colour : "var(--chart-others)";
    parts.push(drawViolin(method, { centre: x(index), room, y, low, high, colour, unit, points, keyOf, hint }));
  }
  const letters = spreadLabels(lines.map((line) => y(line.value)));
  for (const [index, line] of lines.entries()) {
    const at = y(line.value);
    const style = `stroke:${row.colour}`;
    parts.push(
      svgTag("line", { x1: VIOLIN_LEFT, x2: full - VIOLIN_RIGHT, y1: at, y2: at, class: "song", "stroke-dasharray": line.dash || null, style }),
      svgTag("text", { x: full - VIOLIN_RIGHT + 6, y: letters[index] + 4, class: "letter", style: `fill:${row.colour}` }, line.letter),
    );
    points.push({ from: VIOLIN_LEFT, to: full - VIOLIN_RIGHT, y: at, tip: line.label, key: line.key });
  }
  return parts.join("");
}

function drawViolin(method, { centre, room, y, low, high, colour, unit, points, keyOf, hint }) {
  const values = ascending(finite(method));
  const inside = values.filter((value) => value >= low && value <= high);
  const clip = (value) => Math.min(high, Math.max(low, value));
  const parts = [];
  const wide = values.length >= MIN_SHAPED && values.at(-1) - values[0] > 1e-6;
  if (wide && inside.length >= MIN_SHAPED) {
    parts.push(svgTag("path", { d: outline(inside, centre, 0.4 * room, y), class: "body", style: `fill:${colour};stroke:${colour}` }));
  }
  const quartiles = [0.25, 0.75].map((share) => y(clip(quantile(values, share))));
  parts.push(svgTag("line", { x1: centre, x2: centre, y1: quartiles[0], y2: quartiles[1], class: "quartiles" }));
  let dots = "";
  method.values.forEach((value, index) => {
    if (value === null || !Number.isFinite(value)) return;
    const px = centre + 0.18 * room * jitter(index);
    const py = y(clip(value));
    const track = method.tracks[index];
    const dot = { name: method.name, own: method.own, track };
    const tip = tipOf(method.label ?? method.name, track, value, unit, hint(dot));
    points.push({ x: px, y: py, tip, track, key: keyOf(dot) });
    if (value < low) parts.push(triangle(px, y(low), -1, colour));
    else if (value > high) parts.push(triangle(px, y(high), 1, colour));
    else dots += `M${round(px)} ${round(py)}h0`;
  });
  parts.push(svgTag("path", { d: dots, class: values.length < MIN_SHAPED ? "dots large" : "dots", style: `stroke:${colour}` }));
  const middle = y(clip(median(values)));
  parts.push(svgTag("line", { x1: centre - 0.3 * room, x2: centre + 0.3 * room, y1: middle, y2: middle, class: "median" }));
  return parts.join("");
}

// Spread points sideways, always in the same way: the golden ratio's multiples cover -1..1 evenly.
function jitter(index) {
  return 2 * ((index * 0.6180339887 + 0.5) % 1) - 1;
}

function triangle(x, y, direction, colour) {
  const d = `M${round(x - 3)} ${round(y)}h6l-3 ${-4 * direction}z`;
  return svgTag("path", { d, style: `fill:${colour}` });
}

// Return the outline of a Gaussian kernel density with Scott's bandwidth.
export function outline(values, centre, half, y) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  const bandwidth = Math.sqrt(variance) * values.length ** -0.2 || 1;
  const at = Array.from({ length: 33 }, (_, step) => values[0] + (step / 32) * (values.at(-1) - values[0]));
  const density = at.map((place) => values.reduce((sum, value) => sum + Math.exp(-0.5 * ((place - value) / bandwidth) ** 2), 0));
  const most = Math.max(...density);
  const side = (sign) => at.map((place, step) => [centre + (sign * half * density[step]) / most, y(place)]);
  const corners = [...side(1), ...side(-1).reverse()];
  return `M${corners.map(([px, py]) => `${round(px)} ${round(py)}`).join("L")}Z`;
}

function violinTable(rows, unit) {
  const data = rows.flatMap((row) => [
    ...row.methods.flatMap((method) =>
      method.values.flatMap((value, index) =>
        value === null ? [] : [[row.label, method.label ?? method.name, method.tracks[index], value]],
      ),
    ),
    ...(row.lines ?? []).map((line) => [row.label, line.label, "", line.value]),
  ]);
  return { head: ["target", "method", "track", unit || "score"], rows: data };
}
