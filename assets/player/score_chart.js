// The scores of all methods for one target: a chart over time and a table.

import { make } from "./dom.js";
import { drawScores } from "./drawing.js";
import { word } from "./i18n.js";
import { stemLabel } from "./stems.js";
import { drawnCanvas, seekable, timeRuler, waveform } from "./timeline.js";

const LINE_COLOURS = ["--player-vocals", "--player-drums", "--player-other", "--player-bass", "--player-residual"];
const LINE_DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];
const FRAME_METRICS = ["SDR", "ISR", "SIR", "SAR"];
const TRACK_METRICS = [...FRAME_METRICS, "uSDR", "SI-SDR"];

export class ScoreChart {
  // `listen(name)` plays only the chosen target.
  constructor(player, listen) {
    this.player = player;
    this.listen = listen;
    this.metric = "SDR";
    this.target = null;
  }

  get #methods() {
    return this.player.methods.filter((id) => this.player.groups.get(id).scores);
  }

  #scores(method) {
    return this.player.groups.get(method).scores.targets[this.target];
  }

  build() {
    const { player } = this;
    const methods = this.#methods;
    if (!methods.length) return [make("p", { class: "legend" }, word("no_scores"))];
    const targets = [...new Set(methods.flatMap((id) => Object.keys(player.groups.get(id).scores.targets)))];
    if (!targets.includes(this.target)) this.target = targets[0];
    const chart = drawnCanvas(player, "chart", (canvas) => {
      drawScores(canvas, this.#lines(), player.duration, { ink: player.inkColour, unit: "dB" });
    });
    const wave = waveform(player, () => [`references/${this.target}`, "song/mixture"]);
    const legend = this.#lines().map((line) =>
      make("span", { style: `--line:${line.colour}` }, make("i"), player.methodTitle(line.id)),
    );
    const pictures = make("div", {}, timeRuler(player), wave, chart);
    this.table = make("div", { class: "score-table" });
    this.#fillTable();
    return [
      this.#choices(targets),
      seekable(player, pictures, { listen: () => this.listen(this.target), ruler: true }),
      make("p", { class: "legend" }, ...legend),
      this.table,
    ];
  }

  #choices(targets) {
    return make(
      "div",
      { class: "choices" },
      make("h3", {}, word("scores_over_time")),
      this.#select(targets, "target", word("source")),
      this.#select(FRAME_METRICS, "metric", word("metric")),
      make("button", { id: this.player.elementId("worst"), onclick: () => this.#loopWorst() }, word("worst")),
    );
  }

  // Create a menu that sets the field `key`.
  #select(values, key, label) {
    const choose = (event) => {
      this[key] = event.target.value;
      this.player.draw();
      this.#fillTable();
    };
    const options = values.map((value) => make("option", { value, selected: value === this[key] }, stemLabel(value)));
    return make("select", { "aria-label": label, onchange: choose }, ...options);
  }

  #lines() {
    const style = getComputedStyle(this.player);
    return this.#methods.map((id, index) => ({
      id,
      colour: style.getPropertyValue(LINE_COLOURS[index % LINE_COLOURS.length]).trim(),
      dash: LINE_DASHES[index % LINE_DASHES.length],
      chosen: id === this.player.method,
      points: (this.#scores(id)?.frames ?? []).map((frame) => ({
        from: frame.time, to: frame.time + frame.duration, value: frame[this.metric],
      })),
    }));
  }

  // Loop the frame in which the current method scores worst.
  async #loopWorst() {
    const { player } = this;
    const points = this.#lines().find((line) => line.chosen)?.points.filter((point) => point.value !== null) ?? [];
    if (!points.length) return;
    const worst = points.reduce((one, other) => (other.value < one.value ? other : one));
    this.listen(this.target);
    await player.setLoop(worst.from, Math.min(player.duration, worst.to));
    await player.seek(worst.from);
    if (!player.engine.playing) player.toggle();
  }

  #fillTable() {
    const { player } = this;
    const cell = (value) => make("td", {}, value === null || value === undefined ? "–" : value.toFixed(2));
    const rows = this.#methods.map((id) => {
      const scores = this.#scores(id) ?? {};
      const values = [...TRACK_METRICS.map((metric) => scores[metric]), scores.masks?.average_precision];
      return make("tr", {}, make("th", { scope: "row" }, player.methodTitle(id)), ...values.map(cell));
    });
    const titles = [stemLabel(this.target), ...TRACK_METRICS, word("mask_ap")];
    const head = make("tr", {}, ...titles.map((text) => make("th", { scope: "col" }, text)));
    const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
    const notes = this.#methods
      .map((id) => [player.methodTitle(id), player.groups.get(id).scores.notes.join("; ")])
      .filter(([, note]) => note)
      .map((parts) => parts.join(": "));
    const lines = [word("frames_and_track"), ...notes].map((text) => make("p", { class: "legend" }, text));
    this.table.replaceChildren(make("div", { class: "wide" }, table), ...lines);
  }
}
