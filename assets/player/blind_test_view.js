// One stem of a blind test: anonymous stimuli that are rated against the reference.

import { make } from "./dom.js";
import { word } from "./i18n.js";
import { seekable, timeRuler, waveform } from "./timeline.js";

export class BlindTestView {
  constructor(player) {
    this.player = player;
    this.letter = null; // the stimulus that is audible
  }

  // Letter -> 0..100, or null before the first rating; kept by the session while another stem is shown.
  get ratings() {
    return this.#session.ratingsOf(this.player.getAttribute("token"));
  }

  get #session() {
    return this.player.closest("blind-session");
  }

  build() {
    const { player } = this;
    const { tracks } = player.groups.get("blind");
    for (const { name } of tracks) this.ratings[name] ??= null;
    this.letter ??= tracks[0].name;
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
    ];
  }

  #reference() {
    const button = this.player.groups.has("known") ? this.#listenButton("reference", word("reference")) : null;
    const labels = word("scale").split(", ").map((label) => make("span", {}, label));
    return make("div", { class: "known" }, button, make("div", { class: "scale" }, ...labels));
  }

  // A slider and a number for the same rating. The slider stands at 50 before a rating: to release it there rates 50.
  #stimulus(letter) {
    const rating = this.ratings[letter];
    const slider = make("input", {
      type: "range", min: 0, max: 100, step: 1, value: rating ?? 50, class: rating === null ? "unrated" : "",
      id: this.player.elementId(`rate-${letter}`), "aria-label": word("rate", { letter }),
      oninput: () => rate(slider.value),
      onpointerup: () => rate(slider.value),
    });
    const number = make("input", {
      type: "number", min: 0, max: 100, step: 1, value: rating ?? "", placeholder: "–", inputmode: "numeric",
      id: this.player.elementId(`number-${letter}`), "aria-label": word("rate_number", { letter }),
      oninput: () => (number.value === "" ? rate(null) : number.validity.valid && rate(number.value)),
      onblur: () => (number.value = this.ratings[letter] ?? ""),
    });
    const rate = (value) => {
      this.ratings[letter] = value === null ? null : Number(value);
      this.#session.keep();
      slider.classList.toggle("unrated", value === null);
      if (value !== null) slider.value = value;
      if (document.activeElement !== number) number.value = value ?? "";
    };
    const button = this.#listenButton(letter, letter, { "aria-label": word("hear", { what: letter }) });
    return make("div", { class: "stimulus" }, button, make("div", { class: "rail" }, slider), number);
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
}
