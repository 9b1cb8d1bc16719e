// The blind test: anonymous stimuli that are rated against the reference, then revealed.

import { callApi, make } from "./dom.js";
import { download } from "./downloads.js";
import { displayName, word } from "./i18n.js";
import { stemLabel } from "./stems.js";
import { seekable, timeRuler, waveform } from "./timeline.js";

export class BlindTestView {
  constructor(player) {
    this.player = player;
    this.ratings = null; // letter -> 0..100, or null before the first rating
    this.letter = null; // the stimulus that is audible
  }

  build() {
    const { player } = this;
    const { tracks } = player.groups.get("blind");
    this.ratings ??= Object.fromEntries(tracks.map((track) => [track.name, null]));
    this.letter ??= tracks[0].name;
    this.revealButton = make(
      "button",
      { class: "reveal", id: player.elementId("reveal"), onclick: () => this.#reveal() },
      word("reveal"),
    );
    this.results = make("div", { class: "revealed", role: "status" });
    const wave = waveform(player, () => ["song/mixture"]);
    setTimeout(() => this.listen(this.letter));
    return [
      seekable(player, make("div", {}, timeRuler(player), wave), { ruler: true }),
      make(
        "div",
        { class: "stimuli", style: `--columns:${tracks.length}` },
        this.#reference(),
        ...tracks.map(({ name }) => this.#stimulus(name)),
      ),
      this.revealButton,
      this.results,
    ];
  }

  #reference() {
    const button = this.player.groups.has("known") ? this.#listenButton("reference", word("reference")) : null;
    const labels = word("scale").split(", ").map((label) => make("span", {}, label));
    return make("div", { class: "known" }, button, make("div", { class: "scale" }, ...labels));
  }

  #stimulus(letter) {
    const output = make("output", {}, "–");
    const slider = make("input", {
      type: "range", min: 0, max: 100, step: 1, value: 50,
      id: this.player.elementId(`rate-${letter}`), "aria-label": word("rate", { letter }),
      oninput: (event) => {
        this.ratings[letter] = Number(event.target.value);
        output.textContent = event.target.value;
      },
    });
    const button = this.#listenButton(letter, letter, { "aria-label": word("hear", { what: letter }) });
    return make("div", { class: "stimulus" }, button, make("div", { class: "rail" }, slider), output);
  }

  #listenButton(letter, text, attributes = {}) {
    const id = this.player.elementId(`hear-${letter}`);
    return make("button", { "data-letter": letter, id, ...attributes, onclick: () => this.listen(letter) }, text);
  }

  listen(letter) {
    this.letter = letter;
    this.player.engine.mix({ [letter === "reference" ? "known/reference" : `blind/${letter}`]: 1 });
    this.player.show();
  }

  update() {
    for (const button of this.player.querySelectorAll("[data-letter]")) {
      button.setAttribute("aria-pressed", String(button.dataset.letter === this.letter));
    }
  }

  // Return the action of a digit key: listen to the stimulus of that number.
  digitAction(index) {
    const letter = this.player.groups.get("blind").tracks[index]?.name;
    return letter && (() => this.listen(letter));
  }

  async #reveal() {
    try {
      const answer = await callApi("reveal", this.player.getAttribute("token"), JSON.stringify(this.ratings));
      const link = make("a", { href: answer.csv, download: "ratings.csv", class: "csv" }, word("csv"));
      this.results.replaceChildren(this.#resultTable(answer.rows), link);
      this.revealButton.disabled = true;
    } catch (error) {
      this.results.textContent = error.message;
    }
  }

  #resultTable(results) {
    const source = ({ method, title }) =>
      method === "song" ? stemLabel("mixture") : displayName("method", method, title);
    const number = (value) => make("td", {}, typeof value === "number" ? value.toFixed(2) : "–");
    const rows = results.map((row) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, row.letter),
        make("td", { class: "text" }, source(row)),
        make("td", { class: "bar", style: `--share:${row.rating ?? 0}%` }, row.rating ?? "–"),
        ...[row.SDR, row.ISR, row.SIR, row.SAR].map(number),
      ),
    );
    const header = (text, attributes = {}) => make("th", { scope: "col", ...attributes }, text);
    const head = make(
      "tr",
      {},
      header(""),
      header(word("method"), { class: "text" }),
      ...[word("rating"), "SDR", "ISR", "SIR", "SAR"].map((text) => header(text)),
    );
    return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
  }
}
