// Pieces of SVG as text, so that charts need no document: elements, scales, ticks and axes.

import { formatNumber } from "./i18n.js";

export function escapeXml(text) {
  const names = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return String(text).replace(/[&<>"']/g, (character) => names[character]);
}

// Return an element: svgTag("text", {x: 3}, escapeXml(label)). The content is markup, attributes are escaped.
export function svgTag(name, attributes = {}, ...content) {
  const pairs = Object.entries(attributes).filter(([, value]) => value !== null && value !== undefined);
  const text = pairs.map(([key, value]) => ` ${key}="${escapeXml(typeof value === "number" ? round(value) : value)}"`);
  return `<${name}${text.join("")}>${content.join("")}</${name}>`;
}

// Round to hundredths of a pixel, which keeps files small.
export function round(value) {
  return Math.round(value * 100) / 100;
}

// Return the function that maps low..high linearly to from..to.
export function linearScale([low, high], [from, to]) {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

// Return about `count` round numbers within low..high.
export function niceTicks(low, high, count = 5) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + 1e-9 * step; index++) {
    ticks.push(Number((index * step).toFixed(digits)));
  }
  return ticks;
}

// Return horizontal lines at the ticks with their labels on the left, or above the lines if there is no room; the line
// at zero is stronger.
export function gridLines(ticks, { y, left, right, unit = "" }) {
  const place = (tick) =>
    left ? { x: left - 6, y: y(tick) + 4, "text-anchor": "end" } : { x: 4, y: y(tick) - 3 };
  return ticks
    .map((tick, index) => {
      const line = { x1: left, x2: right, y1: y(tick), y2: y(tick), class: tick === 0 ? "zero" : "grid-line" };
      const label = index === ticks.length - 1 && unit ? `${formatNumber(tick)} ${unit}` : formatNumber(tick);
      return svgTag("line", line) + svgTag("text", place(tick), label);
    })
    .join("");
}

// Return the quantile of sorted values, interpolated linearly.
export function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

// Return how wide and how high text is that leans by an angle in degrees, for charts that are drawn without a document.
export function leaningSize(labels, angle) {
  const length = 6.4 * Math.max(0, ...labels.map((label) => label.length));
  const radians = (angle * Math.PI) / 180;
  return { width: length * Math.cos(radians) + 8, height: Math.ceil(length * Math.sin(radians)) + 24 };
}

export function ascending(values) {
  return [...values].sort((one, other) => one - other);
}

export function median(values) {
  return values.length ? quantile(ascending(values), 0.5) : null;
}

// Move labels at least 13 pixels apart, in their order.
export function spreadLabels(places, apart = 13) {
  const order = places.map((place, index) => [place, index]).sort((one, other) => one[0] - other[0]);
  const moved = [...places];
  let last = -Infinity;
  for (const [place, index] of order) {
    last = Math.max(place, last + apart);
    moved[index] = last;
  }
  return moved;
}
