// Lines, one per method: its line style and its letter tell it from the others, also without colour.

import { formatNumber } from "./i18n.js";
import { escapeXml, gridLines, linearScale, niceTicks, round, spreadLabels, svgTag } from "./svg.js";

// Draw lines. `lines` is [{letter, dash, label, key, chosen, points: [{x, y, tip} or null for a gap]}]; `x` and `y` are
// {range, unit, label}. Letters stand at the lines' ends, or near the x that
// `letterAt(index)` returns. Returns {width, height, markup, points, table}.
export function lineChart({ lines, x, y, colour, width, height, margins, letterAt, names = [x.label, y.label] }) {
  const { left = 40, right = 24, top = y.label ? 26 : 10, bottom = 34 } = margins ?? {};
  const across = linearScale(x.range, [left, width - right]);
  const down = linearScale(y.range, [height - bottom, top]);
  const clip = (value) => Math.min(y.range[1], Math.max(y.range[0], value));
  const place = (point) => ({ x: across(point.x), y: down(clip(point.y)) });
  const points = [];
  const parts = [gridLines(niceTicks(...y.range), { y: down, left, right: width - right, unit: y.unit })];
  if (y.label) parts.push(svgTag("text", { x: left - 26, y: 13 }, escapeXml(y.label)));
  if (bottom) parts.push(lineAxis(x, { across, y: height - bottom, left, right: width - right }));
  const ends = lines.map((line, index) => letterPoint(line.points, letterAt?.(index))).map((point) => point && place(point));
  const letters = letterAt ? ends.map((end) => end?.y) : spreadLabels(ends.map((end) => end?.y ?? -100));
  for (const [index, line] of lines.entries()) {
    const style = `stroke:${colour}`;
    const look = { class: line.chosen ? "line chosen" : "line", "stroke-dasharray": line.dash || null, style };
    parts.push(svgTag("path", { d: linePath(line.points, place), ...look, "data-line": line.key }));
    for (const point of line.points.filter(Boolean)) {
      if (point.tip) points.push({ ...place(point), tip: point.tip, key: line.key, at: point.at });
    }
    const end = ends[index];
    if (!end) continue;
    const label = { x: Math.min(end.x + 5, width - 14), y: letters[index] + 4, class: "letter", style: `fill:${colour}` };
    parts.push(svgTag("text", label, line.letter));
  }
  const rows = lines.flatMap((line) =>
    line.points.filter(Boolean).map((point) => [line.label, round(point.x * 1000) / 1000, point.y]),
  );
  return { width, height, markup: parts.join(""), points, table: { head: ["method", ...names], rows } };
}

function letterPoint(points, x) {
  const drawn = points.filter(Boolean);
  if (x === undefined) return drawn.at(-1);
  return drawn.toSorted((one, other) => Math.abs(one.x - x) - Math.abs(other.x - x))[0];
}

function linePath(points, place) {
  let joined = false;
  let d = "";
  for (const point of points) {
    if (point) {
      const { x, y } = place(point);
      d += `${joined ? "L" : "M"}${round(x)} ${round(y)}`;
    }
    joined = Boolean(point);
  }
  return d;
}

function lineAxis({ range, label = "" }, { across, y, left, right }) {
  const ticks = niceTicks(...range).map((tick) =>
    svgTag("text", { x: across(tick), y: y + 15, "text-anchor": "middle" }, formatNumber(tick)),
  );
  const title = svgTag("text", { x: (left + right) / 2, y: y + 30, "text-anchor": "middle" }, escapeXml(label));
  return ticks.join("") + title;
}
