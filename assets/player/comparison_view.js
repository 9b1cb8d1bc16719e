// The view of all methods: the answer, a grid of spectrograms with a row per stem and a column per method, the scores
// second by second, and figures.

import { maskFigures, publishedFigure } from "./comparison_figures.js";
import { ComparisonMatrix } from "./comparison_matrix.js";
import { make } from "./dom.js";
import { word } from "./i18n.js";
import { stemNamesOf, trackNameOf } from "./matched_stems.js";
import { ScoreChart } from "./score_chart.js";
import { scrollable } from "./scrollable.js";
import { sortStems, stemLabel } from "./stems.js";
import { seekable, spectrogram } from "./timeline.js";

export class ComparisonView {
  constructor(player) {
    this.player = player;
    const play = (name, method) => this.play(name, method);
    this.matrix = new ComparisonMatrix(player, { play, changed: () => this.#fillFigures() });
    this.scores = new ScoreChart(player, this.matrix, (name, method) => this.listen(name, method));
  }

  build() {
    const { player } = this;
    const methods = player.methods.filter((id) => !player.groups.get(id).working);
    const tracks = methods.flatMap((id) => player.groups.get(id).tracks);
    const names = sortStems([...new Set(methods.flatMap((id) => stemNamesOf(player.groups.get(id))))]);
    const grid = make(
      "div",
      { class: "grid", style: `--columns:${methods.length}` },
      make("div", { class: "corner" }),
      ...methods.map((id) => make("h4", {}, player.methodTitle(id))),
      ...names.flatMap((name) => this.#gridRows(name, methods)),
    );
    const key = tracks.some((track) => track.difference) ? word("difference_key") : word("grid_key");
    this.figures = make("div", { class: "figures" });
    const answer = this.matrix.build();
    const scores = make("section", { class: "seconds" }, ...this.scores.build());
    this.#fillFigures();
    return [answer, make("h3", {}, word("grid")), scrollable(grid, word("grid")), make("p", { class: "legend" }, key), scores, this.figures];
  }

  #fillFigures() {
    const play = (name, method) => this.play(name, method);
    this.scores.showMetric(this.matrix.metric);
    const content = [...maskFigures(this.player, this.matrix, play), publishedFigure(this.player, this.matrix, play)];
    this.figures.replaceChildren(...content);
  }

  // A row of spectrograms and, if there are references, a row of their differences from the reference.
  #gridRows(name, methods) {
    const cells = (kind) => methods.map((id) => this.#cell(name, id, kind));
    const row = [make("div", { class: "stub" }, stemLabel(name)), ...cells("picture")];
    if (!methods.some((id) => this.#track(name, id)?.difference)) return row;
    return [...row, make("div", { class: "stub small" }, word("difference")), ...cells("difference")];
  }

  #track(stem, method) {
    return this.player.track(trackNameOf(this.player.groups.get(method), stem), method);
  }

  // `kind` is "picture" or "difference", the field of the track that holds the image's name.
  #cell(name, method, kind) {
    const { player } = this;
    const track = this.#track(name, method);
    const isPicture = kind === "picture";
    if (!track?.[kind]) return make("div", { class: `cell empty ${kind}` }, !isPicture ? "" : track ? "…" : "–");
    const title = `${stemLabel(name)}, ${player.methodTitle(method)}`;
    const listen = () => this.listen(name, method);
    const play = () => this.play(name, method);
    const image = spectrogram(player, player.base + track[kind], isPicture ? title : `${word("difference")}: ${title}`);
    return make(
      "div",
      { class: `cell ${kind}`, "data-cell": `${method}/${track.name}` },
      seekable(player, image, { listen }),
      isPicture ? make("button", { "aria-label": word("hear", { what: title }), onclick: play }, "▶") : null,
    );
  }

  // Let only one stem of a method be heard.
  listen(name, method = this.player.method) {
    this.player.method = method;
    this.player.soloOnly(trackNameOf(this.player.groups.get(method), name));
  }

  // Play only one stem of a method.
  play(name, method) {
    this.listen(name, method);
    if (!this.player.session.isActive) this.player.toggle();
  }

  // Mark what is audible in the matrix and in the grid.
  update() {
    for (const cell of this.player.querySelectorAll("[data-hear], [data-cell]")) {
      cell.classList.toggle("heard", this.player.engine.isAudible(cell.dataset.hear ?? cell.dataset.cell));
    }
  }

  digitAction() {
    return null;
  }
}
