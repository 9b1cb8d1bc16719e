// The figures of the Compare page: precision and recall of the masks, and this song among the published systems.

import { chartFigure, chartLegend } from "./chart_figure.js";
import { callApi, make } from "./dom.js";
import { formatNumber, word } from "./i18n.js";
import { lineChart } from "./line_chart.js";
import { FRAME_METRICS } from "./score_chart.js";
import { hearingHint } from "./song_request.js";
import { stemColour } from "./method_style.js";
import { sortStems, stemLabel } from "./stems.js";
import { violinChart } from "./violin_chart.js";

const publishedScores = new Map(); // metric -> promise of the scores

export function fetchPublished(metric) {
  if (!publishedScores.has(metric)) {
    const scores = callApi("published", metric);
    publishedScores.set(metric, scores);
    scores.catch(() => publishedScores.delete(metric));
  }
  return publishedScores.get(metric);
}

// Return the methods of a player that have scores for any target, with their line styles.
function scoredMethods(player, matrix) {
  return matrix.methods
    .filter((id) => player.groups.get(id).scores)
    .map((id) => ({ key: id, label: player.methodTitle(id), ...matrix.style(id), targets: player.groups.get(id).scores.targets }));
}

function targetsOf(methods) {
  return sortStems([...new Set(methods.flatMap(({ targets }) => Object.keys(targets)))]);
}

// Create a figure of masks per target, or nothing if no method has a curve. `play(stem, method)` plays one stem.
export function maskFigures(player, matrix, play) {
  const methods = scoredMethods(player, matrix);
  const figures = targetsOf(methods).flatMap((target, index) => {
    const its = methods.filter(({ targets }) => targets[target]?.masks?.average_precision != null);
    if (!its.length) return [];
    const lines = its.map((method) => ({ ...method, points: maskPoints(method, method.targets[target].masks) }));
    const render = (width) =>
      lineChart({
        lines, letterAt: (number) => 0.9 - (0.8 * number) / its.length, width, height: Math.round(0.85 * width), colour: stemColour(target, index),
        x: { range: [0, 1], label: word("recall") }, y: { range: [0, 1], label: word("precision") },
      });
    const name = `masks-${target}`;
    return [chartFigure({ title: stemLabel(target), name, render, heading: "h4", pick: ({ key }) => play(target, key) })];
  });
  if (!figures.length) return [];
  const legend = chartLegend(methods, (key) => play(targetsOf(methods)[0], key));
  return [make("h3", {}, word("masks_title")), make("p", { class: "note" }, word("masks_note")), make("div", { class: "small-charts" }, ...figures), legend];
}

function maskPoints({ label }, { curve, average_precision: ap }) {
  return curve
    .filter(({ recall, precision }) => recall !== null && precision !== null)
    .map(({ recall, precision, threshold }) => {
      const values = { recall: formatNumber(recall, 2), precision: formatNumber(precision, 2), threshold: formatNumber(threshold) };
      return { x: recall, y: precision, tip: `${label}, AP ${formatNumber(ap, 2)}: ${word("mask_point", values)}` };
    });
}

// Create the violins of the published systems with this song as lines across them.
export function publishedFigure(player, matrix, play) {
  const methods = scoredMethods(player, matrix);
  const metric = FRAME_METRICS.includes(matrix.metric) ? matrix.metric : "SDR";
  const place = make("div", { class: "published" });
  if (!methods.length) return place;
  place.append(make("h3", {}, word("among")), make("div", { class: "chart-skeleton", role: "status" }, word("working")));
  fetchPublished(metric).then(
    (published) => place.replaceChildren(...publishedContent(published, { methods, metric, play })),
    (error) => place.replaceChildren(make("p", { class: "problem", role: "alert" }, error.message)),
  );
  return place;
}

function publishedContent({ tracks, targets }, { methods, metric, play }) {
  const rows = Object.entries(targets).flatMap(([target, systems], index) => {
    const lines = methods
      .filter((method) => typeof method.targets[target]?.[metric] === "number")
      .map(({ key, label, letter, dash, targets: scores }) => ({
        value: scores[target][metric], letter, dash, key: { method: key, stem: target },
        label: `${word("this_song", { method: label })}: ${formatNumber(scores[target][metric], 2)} dB`,
      }));
    const violins = Object.entries(systems).map(([name, values]) => ({ name, tracks, values }));
    return lines.length ? [{ label: stemLabel(target), colour: stemColour(target, index), methods: violins, lines }] : [];
  });
  if (!rows.length) return [];
  const render = (width) => violinChart({ rows, unit: "dB", width, hint: hearingHint });
  const pick = ({ key }) => play(key.stem, key.method);
  const title = `${word("among")}: ${metric}`;
  const legend = chartLegend(methods);
  return [chartFigure({ title, name: `published-${metric}`, render, legend, note: word("among_note"), pick })];
}
