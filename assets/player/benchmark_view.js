// The element <score-benchmark scores="...">: the answer, violins over a data set, and a table of medians and differences.

import { answerSentence, methodName, metricName, withUnit } from "./comparison_answer.js";
import { FRAME_METRICS } from "./score_chart.js";
import { chartFigure } from "./chart_figure.js";
import { fetchPublished } from "./comparison_figures.js";
import { make, makeTable } from "./dom.js";
import { formatNumber, word } from "./i18n.js";
import { hearingHint, requestSong } from "./song_request.js";
import { stemColour } from "./method_style.js";
import { scrollable } from "./scrollable.js";
import { sortStems, stemLabel } from "./stems.js";
import { violinChart } from "./violin_chart.js";

// Return the rows of the violins: our methods in the stem's colour, and the published systems in grey.
export function benchmarkRows(ours, published) {
  const violins = (scores, target, own) =>
    Object.entries(scores?.targets[target] ?? {}).map(([name, values]) => {
      return { name, label: own ? methodName(name) : name, own, tracks: scores.tracks, values };
    });
  const targets = sortStems(Object.keys(ours.targets)).filter((target) => Object.keys(ours.targets[target]).length);
  return targets.map((target, index) => ({
    label: stemLabel(target), colour: stemColour(target, index),
    methods: [...violins(ours, target, true), ...violins(published, target, false)],
  }));
}

class ScoreBenchmark extends HTMLElement {
  static observedAttributes = ["scores"];

  attributeChangedCallback(name, before) {
    if (before !== null) setTimeout(() => this.isConnected && this.#build());
  }

  connectedCallback() {
    this.#build();
  }

  async #build() {
    const text = this.getAttribute("scores");
    if (text === this.built) return;
    this.built = text;
    const document = JSON.parse(text);
    const wantsPublished = document.published && FRAME_METRICS.includes(document.metric);
    this.replaceChildren(...this.#content(document, null));
    if (!wantsPublished) return;
    try {
      const published = await fetchPublished(document.metric);
      if (this.built === text) this.replaceChildren(...this.#content(document, published));
    } catch (error) {
      this.append(make("p", { class: "problem", role: "alert" }, error.message));
    }
  }

  #content({ metric, unit, ours, comparison, songs }, published) {
    const rows = benchmarkRows(ours, published);
    if (!rows.length) return [make("p", { class: "hint", role: "status" }, word("bench_none"))];
    const keyOf = ({ name, own, track }) => (own && songs[track] ? { song: songs[track], method: name } : undefined);
    const hint = (dot) => hearingHint(dot, songs);
    const render = (width) => violinChart({ rows, unit, width, keyOf, hint });
    const title = `${metricName(metric)}, MUSDB18`;
    const chart = chartFigure({ title, name: `benchmark-${metric}`, render, note: word("bench_note"), pick: ({ key }) => requestSong(key) });
    const tables = comparison ? benchmarkTables(comparison.targets, metric, unit) : null;
    return [this.#answer(comparison, metric, unit), chart, tables].filter(Boolean);
  }

  #answer(comparison, metric, unit) {
    if (!comparison) return make("p", { class: "lead skeleton", role: "status" }, word("answer_working"));
    const ranking = { metrics: [{ name: metric, unit }], floor: "mix", sources: comparison.ranking };
    return make("p", { class: "lead", role: "status" }, answerSentence(ranking, metric) || word("answer_none"));
  }
}

function benchmarkTables(targets, metric, unit) {
  const tables = Object.entries(targets).map(([target, found]) =>
    make("div", {}, medianTable(target, found, metric, unit), differenceTable(target, found, unit)),
  );
  return make(
    "details",
    { class: "bench-tables" },
    make("summary", {}, word("table")),
    make("div", { class: "tables" }, ...tables),
    make("p", { class: "note" }, word("wilcoxon")),
  );
}

function plainTable(head, rows, label) {
  const top = head.map((text) => make("th", { scope: "col" }, text));
  const body = rows.map(([first, ...rest]) => [make("th", { scope: "row" }, first), ...rest.map((text) => make("td", {}, text))]);
  return scrollable(makeTable(top, body), label);
}

function medianTable(target, { methods }, metric, unit) {
  const known = Object.entries(methods).filter(([, row]) => row.median !== null);
  known.sort(([, one], [, other]) => other.median - one.median);
  const rows = known.map(([name, row]) => {
    const [low, high] = [row.low, row.high].map((value) => (value === null ? "" : formatNumber(value, 2)));
    return [methodName(name), formatNumber(row.median, 2), low && word("to", { low, high }), String(row.tracks)];
  });
  const label = `${stemLabel(target)}: ${metricName(metric)}`;
  return plainTable([stemLabel(target), withUnit(metricName(metric), unit), "95 %", "n"], rows, label);
}

function differenceTable(target, { comparisons }, unit) {
  const tested = comparisons.filter((pair) => pair.p_holm !== null);
  if (!tested.length) return null;
  const rows = tested.map((pair) => [
    pair.methods.map((name) => methodName(name)).join(" – "),
    formatNumber(pair.median_difference, 2),
    formatNumber(Number(pair.p_holm.toPrecision(2))),
    String(pair.tracks),
  ]);
  return plainTable([word("difference"), withUnit("Δ", unit), "p", "n"], rows, `${stemLabel(target)}: ${word("difference")}`);
}

if (!customElements.get("score-benchmark")) customElements.define("score-benchmark", ScoreBenchmark);
