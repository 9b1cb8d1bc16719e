// The scores of all methods for one target: a chart second by second, and a table of all metrics.

import { chartFigure, chartLegend } from "./chart_figure.js";
import { metricName } from "./comparison_answer.js";
import { make, makeTable } from "./dom.js";
import { formatNumber, sentence, word } from "./i18n.js";
import { lineChart } from "./line_chart.js";
import { stemColour } from "./method_style.js";
import { scrollable } from "./scrollable.js";
import { sortStems, stemLabel } from "./stems.js";
import { ascending, quantile } from "./svg.js";
import { seekable, timeRuler, waveform } from "./timeline.js";

export const FRAME_METRICS = ["SDR", "ISR", "SIR", "SAR"];

// Return the range of the chart in whole dB: at least 4 and at most 60 dB, without the outliers.
export function scoreRange(values) {
  if (!values.length) return [0, 4];
  const sorted = ascending(values);
  const low = Math.floor(Math.min(quantile(sorted, 0.03), 0));
  const high = Math.ceil(Math.max(quantile(sorted, 0.97), low + 4));
  return [Math.max(low, high - 60), high];
}

// Return the names of all metrics of some targets' scores, in their order.
export function metricsOf(targets) {
  const isMetric = ([, value]) => value === null || typeof value === "number";
  return [...new Set(targets.flatMap((target) => Object.entries(target).filter(isMetric).map(([name]) => name)))];
}

// Whether a metric is one of those that are computed on request.
function isExtra(metric) {
  return metricName(metric) !== metric;
}

export class ScoreChart {
  // `listen(name, method)` plays only the chosen target.
  constructor(player, matrix, listen) {
    this.player = player;
    this.matrix = matrix;
    this.listen = listen;
    this.metric = "SDR";
    this.target = null;
  }

  get #methods() {
    return this.matrix.methods.filter((id) => this.player.groups.get(id).scores);
  }

  #scores(method) {
    return this.player.groups.get(method).scores.targets[this.target];
  }

  build() {
    const { player } = this;
    const methods = this.#methods;
    this.figure = null;
    if (!methods.length) return [make("p", { class: "legend" }, word("no_scores"))];
    const targets = sortStems([...new Set(methods.flatMap((id) => Object.keys(player.groups.get(id).scores.targets)))]);
    if (!targets.includes(this.target)) this.target = targets[0];
    this.targets = targets;
    this.place = make("div", {});
    this.table = make("div", { class: "score-table" });
    this.#fill();
    return [this.#choices(targets), this.place, this.table];
  }

  // Show another metric if it has values second by second.
  showMetric(metric) {
    if (!FRAME_METRICS.includes(metric) || metric === this.metric || !this.place) return;
    this.metric = metric;
    this.metricSelect.value = metric;
    this.#fill();
  }

  #choices(targets) {
    this.metricSelect = this.#select(FRAME_METRICS, "metric", word("metric"));
    return make(
      "div",
      { class: "choices" },
      make("h3", {}, word("scores_over_time")),
      this.#select(targets, "target", word("source")),
      this.metricSelect,
      make("button", { id: this.player.elementId("worst"), onclick: () => this.#loopWorst() }, word("worst")),
    );
  }

  // Create a menu that sets the field `key`.
  #select(values, key, label) {
    const choose = (event) => {
      this[key] = event.target.value;
      this.#fill();
    };
    const options = values.map((value) => make("option", { value, selected: value === this[key] }, stemLabel(value)));
    return make("select", { "aria-label": label, onchange: choose }, ...options);
  }

  #fill() {
    const { player } = this;
    const title = `${stemLabel(this.target)}: ${this.metric} (dB)`;
    const overlay = (place) => {
      const wave = waveform(player, () => [`references/${this.target}`, "song/mixture"]);
      const pictures = make("div", {}, timeRuler(player), wave, place);
      return seekable(player, pictures, { listen: () => this.listen(this.target), ruler: true });
    };
    const lines = this.#lines();
    const [low, high] = scoreRange(lines.flatMap(({ points }) => points.filter(Boolean).map(({ y }) => y)));
    const colour = stemColour(this.target, this.targets.indexOf(this.target));
    const render = (width) =>
      lineChart({
        lines, colour, width, height: 220, margins: { left: 0, right: 0, bottom: 0 }, names: ["time (s)", `${this.metric} (dB)`],
        x: { range: [0, player.duration] }, y: { range: [low, high], unit: "dB" },
      });
    const pick = ({ key }) => this.listen(this.target, key);
    const legend = chartLegend(lines, (key) => this.listen(this.target, key));
    const name = `${this.metric}-${this.target}`;
    const isUpdate = this.place.isConnected;
    this.place.replaceChildren(chartFigure({ title, name, render, overlay, legend, pick, heading: "h4" }));
    if (isUpdate) player.forgetReplaced();
    this.#fillTable();
    player.draw();
  }

  // A line runs through the middle of each second, with a gap where a second has no score.
  #lines() {
    return this.#methods.map((id) => {
      const label = this.player.methodTitle(id);
      const points = (this.#scores(id)?.frames ?? []).map((frame) => {
        const y = frame[this.metric];
        if (y === null || y === undefined) return null;
        const tip = `${label}, ${formatNumber(frame.time, 0)} s: ${formatNumber(y, 1)} dB`;
        return { x: frame.time + frame.duration / 2, y, tip, from: frame.time, to: frame.time + frame.duration };
      });
      return { key: id, label, ...this.matrix.style(id), chosen: id === this.player.method, points };
    });
  }

  // Loop the second in which the current method scores worst.
  async #loopWorst() {
    const { player } = this;
    const lines = this.#lines();
    const points = (lines.find((line) => line.chosen) ?? lines[0]).points.filter(Boolean);
    if (!points.length) return;
    const worst = points.reduce((one, other) => (other.y < one.y ? other : one));
    this.listen(this.target);
    await player.setLoop(worst.from, Math.min(player.duration, worst.to));
    await player.seek(worst.from);
    if (!player.session.isActive) player.toggle();
  }

  #fillTable() {
    const { player } = this;
    const metrics = metricsOf(this.#methods.map((id) => this.#scores(id) ?? {}));
    const cell = (value) => make("td", {}, value === null || value === undefined ? "–" : formatNumber(value, 2));
    const rows = this.#methods.map((id) => {
      const scores = this.#scores(id) ?? {};
      const values = [...metrics.map((metric) => scores[metric]), scores.masks?.average_precision];
      const title = make("th", { scope: "row" }, make("b", {}, this.matrix.style(id).letter), player.methodTitle(id));
      return [title, ...values.map(cell)];
    });
    const titles = [stemLabel(this.target), ...metrics.map(metricName), word("mask_ap")];
    const head = titles.map((text) => make("th", { scope: "col" }, text));
    const notes = this.#methods
      .map((id) => [player.methodTitle(id), player.groups.get(id).scores.notes.map(sentence).join("; ")])
      .filter(([, note]) => note)
      .map((parts) => parts.join(": "));
    const scale = metrics.some(isExtra) ? [word("extra_scale")] : [];
    const lines = [word("frames_and_track"), ...scale, ...notes].map((text) => make("p", { class: "legend" }, text));
    this.table.replaceChildren(scrollable(makeTable(head, rows), word("scores_over_time")), ...lines);
  }
}
