// The answer of the Compare page: a sentence, and a table of methods by stems whose cells play.

import { answerSentence, certaintyText, metricName, scoreText, verdictOf } from "./comparison_answer.js";
import { callApi, make, makeTable } from "./dom.js";
import { displayName, formatNumber, word } from "./i18n.js";
import { stemNamesOf, trackNameOf } from "./matched_stems.js";
import { methodStyle, stemColour } from "./method_style.js";
import { scrollable } from "./scrollable.js";
import { sortStems, stemLabel } from "./stems.js";

export class ComparisonMatrix {
  // `play(stem, method)` plays one stem; `changed()` is called when another metric is chosen.
  constructor(player, { play, changed }) {
    this.player = player;
    this.play = play;
    this.changed = changed;
    this.metric = "SDR";
    this.ranking = null;
  }

  // The estimates, in the order of their letters.
  get methods() {
    const { player } = this;
    return player.methods.filter((id) => id !== "references" && !player.groups.get(id).working);
  }

  style(method) {
    return methodStyle(this.methods.indexOf(method));
  }

  build() {
    this.element = make("section", { class: "answer" });
    this.#fill();
    if (this.#scored) this.#load();
    return this.element;
  }

  get #scored() {
    return this.methods.some((id) => this.player.groups.get(id).scores);
  }

  async #load() {
    const { element } = this;
    try {
      this.ranking = await callApi("compare_methods", this.player.getAttribute("token"));
    } catch (error) {
      const problem = make("p", { class: "problem", role: "alert" }, error.message);
      if (element === this.element) element.querySelector(".lead").replaceWith(problem);
      return;
    }
    if (element !== this.element) return; // built again meanwhile
    this.#fill();
    this.changed();
  }

  #fill() {
    const { player } = this;
    const titles = Object.fromEntries(this.methods.map((id) => [id, player.groups.get(id).title]));
    const playable = this.methods.flatMap((id) => stemNamesOf(player.groups.get(id)));
    const stems = sortStems([...new Set(playable)]).filter((name) => name !== "residual");
    const content = [this.#sentence(titles), this.ranking ? this.#choice() : null, this.#table(stems, titles)];
    this.element.replaceChildren(...content.filter(Boolean));
    this.player.view.update();
  }

  #sentence(titles) {
    if (!this.#scored) return make("p", { class: "lead" }, word("answer_unscored"));
    if (!this.ranking) return make("p", { class: "lead skeleton", role: "status" }, word("answer_working"));
    const sentence = answerSentence(this.ranking, this.metric, titles);
    return make("p", { class: "lead", role: "status" }, sentence || word("answer_none"));
  }

  #choice() {
    const select = make(
      "select",
      {
        id: this.player.elementId("matrix-metric"), "aria-label": word("metric"),
        onchange: (event) => {
          this.metric = event.target.value;
          this.#fill();
          this.element.querySelector("select").focus();
          this.changed();
        },
      },
      ...this.ranking.metrics.map(({ name }) => make("option", { value: name, selected: name === this.metric }, metricName(name))),
    );
    const meaning = displayName("metric", this.metric, "");
    return make("div", { class: "metric-choice" }, select, make("span", {}, meaning));
  }

  #table(stems, titles) {
    const { player } = this;
    const head = stems.map((stem, index) => {
      return make("th", { scope: "col", style: `--stem:${stemColour(stem, index)}` }, make("i"), stemLabel(stem));
    });
    const rows = this.methods.map((id) => {
      const { letter } = this.style(id);
      const title = make("th", { scope: "row" }, make("b", {}, letter), player.methodTitle(id));
      return [title, ...stems.map((stem, index) => this.#cell(stem, id, index))];
    });
    if (player.groups.get("references")?.tracks.length) {
      const cells = stems.map((stem, index) => this.#cell(stem, "references", index));
      rows.push([make("th", { scope: "row" }, make("b", {}), player.methodTitle("references")), ...cells]);
    }
    const table = makeTable([make("th", { scope: "col" }, word("method")), ...head], rows, { class: "matrix" });
    if (this.ranking) table.append(make("tfoot", {}, this.#certainty(stems, titles)));
    return scrollable(table, word("matrix"));
  }

  #certainty(stems, titles) {
    const { floor, metrics } = this.ranking;
    const unit = metrics.find(({ name }) => name === this.metric)?.unit ?? "";
    const cells = stems.map((stem) => {
      const found = this.#found(stem);
      const text = found ? certaintyText(found, { unit, floor, titles }) : "";
      const title = found && found.p !== null ? `p = ${formatNumber(Number(found.p.toPrecision(2)))}` : null;
      return make("td", { title }, text);
    });
    return make("tr", {}, make("th", { scope: "row" }, word("how_sure")), ...cells);
  }

  #found(stem) {
    return this.ranking?.sources[stem]?.[this.metric];
  }

  #cell(stem, method, index) {
    const { player } = this;
    const name = trackNameOf(player.groups.get(method), stem);
    if (!player.track(name, method)) return make("td", { class: "none" }, "–");
    const found = this.#found(stem);
    const score = found?.scores[method];
    const isFloor = found && verdictOf(found, this.ranking.floor) === "floor";
    const mark = !found || isFloor ? "" : found.best === method ? "best" : found.ties.includes(method) ? "tied" : "";
    const text = typeof score === "number" ? scoreText(score) : "▶";
    const component = name === stem ? null : stemLabel(name);
    const what = [stemLabel(stem), component, player.methodTitle(method)].filter(Boolean).join(", ");
    const said = [word("hear", { what }), typeof score === "number" ? `${metricName(this.metric)} ${text}` : "", mark && word(mark)];
    const button = make(
      "button",
      {
        type: "button", class: mark, "data-hear": `${method}/${name}`, style: `--stem:${stemColour(stem, index)}`,
        "aria-label": said.filter(Boolean).join(", "), onclick: () => this.play(stem, method),
      },
      make("span", {}, text),
      component ? make("small", {}, component) : null,
      mark ? make("small", {}, word(mark)) : null,
    );
    return make("td", {}, button);
  }
}
