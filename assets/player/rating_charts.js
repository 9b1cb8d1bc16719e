// The figures of a blind test: the ratings of each method, and how they agree with each metric.

import { metricName } from "./comparison_answer.js";
import { formatNumber, word } from "./i18n.js";
import { escapeXml, gridLines, leaningSize, linearScale, median, round, svgTag } from "./svg.js";

// Draw a dot per rated stem: a column per method, and its median as a line. `rows` is [{method, label, rating, colour,
// stem, song}]; unrated ones are left out.
export function ratingChart({ rows, width }) {
  const rated = rows.filter((row) => row.rating !== null);
  const ratingsOf = (method) => rated.filter((row) => row.method === method).map((row) => row.rating);
  const methods = [...new Set(rated.map((row) => row.method))];
  methods.sort((one, other) => median(ratingsOf(other)) - median(ratingsOf(one)));
  const labels = leaningSize(rated.map((row) => row.label), 40);
  const left = Math.max(46, labels.width - 22);
  const full = Math.max(width, left + 12 + 44 * methods.length);
  const room = Math.min(120, (full - left - 12) / Math.max(1, methods.length));
  const height = 226 + labels.height;
  const y = linearScale([0, 100], [210, 12]);
  const right = left + room * methods.length;
  const parts = [gridLines([0, 20, 40, 60, 80, 100], { y, left: left, right })];
  const points = [];
  methods.forEach((method, index) => {
    const centre = left + (index + 0.5) * room;
    const its = rated.filter((row) => row.method === method);
    its.forEach((row, number) => {
      const x = centre + (its.length > 1 ? (number / (its.length - 1) - 0.5) * 0.4 * room : 0);
      parts.push(svgTag("circle", { cx: x, cy: y(row.rating), r: 5, style: `fill:${row.colour}` }));
      points.push({ x, y: y(row.rating), tip: `${row.label}, ${row.stem}, ${row.song}: ${row.rating}` });
    });
    const middle = y(median(ratingsOf(method)));
    const bar = { x1: centre - 0.32 * room, x2: centre + 0.32 * room, y1: middle, y2: middle, class: "median" };
    const place = { transform: `translate(${round(centre + 4)} 226) rotate(-40)`, "text-anchor": "end" };
    parts.push(svgTag("line", bar), svgTag("text", place, escapeXml(its[0].label)));
  });
  const table = rated.map((row) => [row.song, row.stem, row.label, row.rating]);
  return { width: full, height, markup: parts.join(""), points, table: { head: ["song", "stem", "method", "rating"], rows: table } };
}

// Draw the rank correlation of each metric with its interval. `groups` is [{label, shape, found: {metric: {correlation,
// low, high, count}}}]; metrics without a correlation are left out.
export function agreementChart({ groups, width }) {
  const defined = groups.map(({ found, ...rest }) => {
    return { ...rest, found: Object.entries(found).filter(([, its]) => its.correlation !== null) };
  });
  const metrics = [...new Set(defined.flatMap(({ found }) => found.map(([metric]) => metric)))];
  const left = 96;
  const row = 18 * Math.max(1, groups.length) + 8;
  const height = metrics.length * row + 34;
  const x = linearScale([-1, 1], [left, width - 16]);
  const parts = [-1, -0.5, 0, 0.5, 1].map((tick) => {
    const line = { x1: x(tick), x2: x(tick), y1: 4, y2: height - 26, class: tick === 0 ? "zero" : "grid-line" };
    return svgTag("line", line) + svgTag("text", { x: x(tick), y: height - 10, "text-anchor": "middle" }, formatNumber(tick));
  });
  const points = [];
  const rows = [];
  metrics.forEach((metric, index) => {
    parts.push(svgTag("text", { x: left - 10, y: index * row + row / 2 + 6, "text-anchor": "end", class: "own" }, escapeXml(metricName(metric))));
    defined.forEach(({ label, hollow, found }, number) => {
      const its = Object.fromEntries(found)[metric];
      if (!its) return;
      const y = index * row + 14 + 18 * number;
      if (its.low !== null) parts.push(svgTag("line", { x1: x(its.low), x2: x(its.high), y1: y, y2: y, class: "interval" }));
      parts.push(svgTag("circle", { cx: x(its.correlation), cy: y, r: 5, class: hollow ? "estimate hollow" : "estimate" }));
      const [low, high] = [its.low, its.high].map((value) => value !== null && formatNumber(value, 2));
      const interval = its.low === null ? "" : ` (${word("to", { low, high })})`;
      const tip = `${label}, ${metricName(metric)}: ${formatNumber(its.correlation, 2)}${interval}, n = ${its.count}`;
      points.push({ from: x(its.low ?? its.correlation), to: x(its.high ?? its.correlation), x: x(its.correlation), y, tip });
      rows.push([label, metric, its.correlation, its.low ?? "", its.high ?? "", its.count]);
    });
  });
  const head = ["ratings", "metric", "rank correlation", "low", "high", "stems"];
  return { width, height, markup: parts.join(""), points, table: { head, rows } };
}
