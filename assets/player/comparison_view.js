// The view of all methods: a grid of spectrograms with a row per stem and a column per method, and the scores.

import { make } from "./dom.js";
import { word } from "./i18n.js";
import { ScoreChart } from "./score_chart.js";
import { sortStems, stemLabel } from "./stems.js";
import { seekable, spectrogram } from "./timeline.js";

export class ComparisonView {
  constructor(player) {
    this.player = player;
    this.scores = new ScoreChart(player, (name) => this.listen(name));
  }

  build() {
    const { player } = this;
    const methods = player.methods.filter((id) => !player.groups.get(id).working);
    const tracks = methods.flatMap((id) => player.groups.get(id).tracks);
    const names = sortStems([...new Set(tracks.map((track) => track.name))]);
    const grid = make(
      "div",
      { class: "grid", style: `--columns:${methods.length}` },
      make("div", { class: "corner" }),
      ...methods.map((id) => make("h3", {}, player.methodTitle(id))),
      ...names.flatMap((name) => this.#gridRows(name, methods)),
    );
    const scroll = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": word("grid") }, grid);
    const scores = this.scores.build();
    if (!tracks.some((track) => track.difference)) return [scroll, ...scores];
    return [scroll, make("p", { class: "legend" }, word("difference_key")), ...scores];
  }

  // A row of spectrograms and, if there are references, a row of their differences from the reference.
  #gridRows(name, methods) {
    const cells = (kind) => methods.map((id) => this.#cell(name, id, kind));
    const row = [make("div", { class: "stub" }, stemLabel(name)), ...cells("picture")];
    if (!methods.some((id) => this.player.track(name, id)?.difference)) return row;
    return [...row, make("div", { class: "stub small" }, word("difference")), ...cells("difference")];
  }

  // `kind` is "picture" or "difference", the field of the track that holds the image's name.
  #cell(name, method, kind) {
    const { player } = this;
    const track = player.track(name, method);
    const isPicture = kind === "picture";
    if (!track?.[kind]) return make("div", { class: `cell empty ${kind}` }, !isPicture ? "" : track ? "…" : "–");
    const title = `${stemLabel(name)}, ${player.methodTitle(method)}`;
    const listen = () => this.listen(name, method);
    const play = () => {
      listen();
      if (!player.engine.playing) player.toggle();
    };
    const image = spectrogram(player, player.base + track[kind], isPicture ? title : `${word("difference")}: ${title}`);
    return make(
      "div",
      { class: `cell ${kind}`, "data-cell": `${method}/${name}` },
      seekable(player, image, { listen }),
      isPicture ? make("button", { "aria-label": word("hear", { what: title }), onclick: play }, "▶") : null,
    );
  }

  // Play only one stem of a method.
  listen(name, method = this.player.method) {
    this.player.method = method;
    this.player.soloOnly(name);
  }

  update() {
    for (const cell of this.player.querySelectorAll("[data-cell]")) {
      const [method, ...name] = cell.dataset.cell.split("/");
      const id = this.player.trackId(name.join("/"), method);
      cell.classList.toggle("heard", this.player.engine.isAudible(id));
    }
  }

  digitAction() {
    return null;
  }
}
