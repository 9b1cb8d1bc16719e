// What a visitor's ratings say: the methods behind the letters, a figure of all ratings, and how metrics agree with them.

import { metricName } from "./comparison_answer.js";
import { saveCsv } from "./chart_files.js";
import { chartFigure } from "./chart_figure.js";
import { callApi, make, makeTable } from "./dom.js";
import { displayName, formatNumber, sentence, word } from "./i18n.js";
import { stemColour } from "./method_style.js";
import { agreementChart, ratingChart } from "./rating_charts.js";
import { scrollable } from "./scrollable.js";
import { stemLabel } from "./stems.js";

function sourceName({ method, title }) {
  return method === "song" ? stemLabel("mixture") : displayName("method", method, sentence(title));
}

// Create the table of a finished test: the method behind each letter, its rating and its scores.
export function revealedTable(rows) {
  const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.scores)))];
  const number = (value) => make("td", {}, typeof value === "number" ? formatNumber(value, 2) : "–");
  const body = rows.map((row) => [
    make("th", { scope: "row" }, row.letter),
    make("td", { class: "text" }, sourceName(row)),
    make("td", { class: "text" }, stemLabel(row.source)),
    make("td", { class: "bar", style: `--share:${row.rating ?? 0}%` }, row.rating ?? "–"),
    ...metrics.map((metric) => number(row.scores[metric])),
  ]);
  const names = [word("method"), word("source"), word("rating"), ...metrics.map(metricName)];
  const title = (text, index) => make("th", { scope: "col", class: index < 2 ? "text" : null }, text);
  return scrollable(makeTable([make("td"), ...names.map(title)], body), word("blind_revealed"));
}

// Return all ratings as a table for a CSV file.
export function ratingsTable(rows) {
  const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.scores)))];
  const head = ["song", "source", "letter", "method", "rating", ...metrics];
  const line = (row) => [row.song, row.source, row.letter, row.method, row.rating, ...metrics.map((metric) => row.scores[metric])];
  return { head, rows: rows.map(line) };
}

// Create everything about all ratings of this browser; `forget()` is called by the button that deletes them.
export function ratingSummary(rows, forget) {
  const stems = [...new Set(rows.map((row) => row.source))];
  const drawn = rows.map((row) => ({
    method: row.method, label: sourceName(row), rating: row.rating, stem: stemLabel(row.source), song: row.song,
    colour: stemColour(row.source, stems.indexOf(row.source)),
  }));
  const legend = make(
    "div",
    { class: "chart-legend" },
    ...stems.map((stem, index) => make("span", { style: `--stem:${stemColour(stem, index)}` }, make("i", { class: "swatch" }), stemLabel(stem))),
  );
  const figure = chartFigure({ title: word("blind_all"), name: "ratings-figure", render: (width) => ratingChart({ rows: drawn, width }), legend });
  const agreement = make("section", { class: "agreement" }, make("p", { role: "status", class: "note" }, word("working")));
  showAgreement(agreement, rows);
  const actions = make(
    "div",
    { class: "session-actions" },
    make("button", { type: "button", onclick: () => saveCsv(ratingsTable(rows), "ratings") }, word("csv")),
    make("button", { type: "button", onclick: forget }, word("blind_forget")),
  );
  const rated = rows.some((row) => row.rating !== null);
  return [...(rated ? [agreement, figure] : []), actions];
}

async function showAgreement(place, rows) {
  try {
    const kept = rows.map(({ rating, scores }) => ({ rating, scores }));
    const found = await callApi("compare_ratings", JSON.stringify(kept));
    place.replaceChildren(...agreementContent(found));
  } catch (error) {
    place.replaceChildren(make("p", { class: "problem", role: "alert" }, error.message));
  }
}

// Return the metric that orders the stems most as the ratings do, with its agreement, or null.
export function bestAgreement(found) {
  const defined = Object.entries(found).filter(([, its]) => its.correlation !== null && its.low !== null);
  defined.sort(([, one], [, other]) => other.correlation - one.correlation);
  return defined.length ? { metric: defined[0][0], ...defined[0][1] } : null;
}

// Return the answer in one sentence.
export function agreementSentence(found) {
  const counts = Object.values(found).map(({ count }) => count);
  if (!counts.length) return word("agreement_unscored");
  const best = bestAgreement(found);
  if (!best) return word("agreement_few", { count: Math.max(...counts) });
  const number = (value) => formatNumber(value, 2);
  const values = { metric: metricName(best.metric), r: number(best.correlation), low: number(best.low), high: number(best.high), count: best.count };
  return word(best.low > 0 ? "agreement_best" : "agreement_unsure", values);
}

function agreementContent({ visitor, pooled }) {
  const groups = [
    { label: word("agreement_yours"), hollow: false, found: visitor },
    { label: word("agreement_pooled"), hollow: true, found: pooled },
  ].filter(({ found }) => Object.values(found).some(({ correlation }) => correlation !== null));
  const lead = make("p", { class: "lead", role: "status" }, agreementSentence(visitor));
  if (!groups.length) return [lead];
  const legend = make(
    "div",
    { class: "chart-legend" },
    ...groups.map(({ label, hollow }) => make("span", {}, make("i", { class: hollow ? "dot hollow" : "dot" }), label)),
  );
  const render = (width) => agreementChart({ groups, width: Math.min(width, 720) });
  const note = word("agreement_note");
  return [lead, chartFigure({ title: word("agreement_title"), name: "agreement", render, legend, note })];
}
