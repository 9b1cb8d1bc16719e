// The element <blind-session result="token" tests='[{"manifest", "token", "source"}]'>: a blind test of several stems of a
// result, one after the other, then the methods, and all ratings of this browser. Without tests, it goes on with the one
// that has begun.

import { keepTest, loadTest } from "./blind_store.js";
import { callApi, make } from "./dom.js";
import { word } from "./i18n.js";
import { ratingSummary, revealedTable } from "./rating_results.js";
import { addRatings, clearRatings, loadRatings } from "./rating_store.js";
import { stemLabel } from "./stems.js";

class BlindSession extends HTMLElement {
  static observedAttributes = ["tests", "result"];

  // Gradio reuses the element for another test but removes its content.
  attributeChangedCallback(name, before) {
    if (before !== null) setTimeout(() => this.isConnected && this.replaceWith(this.cloneNode(false)));
  }

  connectedCallback() {
    if (this.tests) return;
    const result = this.getAttribute("result");
    const begun = { tests: JSON.parse(this.getAttribute("tests")), index: 0, given: {}, share: false };
    const { tests, index, given, share } = begun.tests.length ? begun : (loadTest(result) ?? begun);
    Object.assign(this, { result, tests, given, share }); // given: token -> letter -> rating
    this.rows = loadRatings();
    this.results = make("div", { class: "revealed", tabindex: -1 });
    if (this.tests.length) this.#show(index);
    else this.replaceChildren(this.results);
    this.#summarise();
  }

  ratingsOf(token) {
    return (this.given[token] ??= {});
  }

  // Keep what has been rated so far.
  keep() {
    if (this.isOver) return; // else the test would be rated, and counted, a second time
    const { tests, index, given, share } = this;
    keepTest(this.result, { tests, index, given, share });
  }

  #show(index) {
    this.index = index;
    this.keep();
    const { manifest, token, source } = this.tests[index];
    const count = this.tests.length;
    const title = word("blind_step", { number: index + 1, all: count, stem: stemLabel(source) });
    const player = make("stem-player", { view: "blind", manifest, token });
    const step = (id, text, to) => make("button", { type: "button", id, onclick: () => this.#goTo(to) }, text);
    const isLast = index === count - 1;
    this.warning = make("p", { class: "problem", role: "alert" });
    const onchange = ({ target }) => {
      this.share = target.checked;
      this.keep();
    };
    const share = make("input", { type: "checkbox", id: "blind-share", checked: this.share, onchange });
    const reveal = make("button", { type: "button", class: "reveal", id: "blind-reveal", onclick: () => this.#reveal() }, word("reveal"));
    this.controls = make(
      "div",
      { class: "session-actions" },
      index ? step("blind-back", word("blind_back"), index - 1) : null,
      isLast ? reveal : step("blind-next", word("blind_next"), index + 1),
      isLast ? make("label", { for: "blind-share" }, share, word("blind_share")) : null,
    );
    this.replaceChildren(make("h3", { class: "step", tabindex: -1 }, title), player, this.controls, this.warning, this.results);
  }

  // Show another stem; the focus goes to its title, since the button that was pressed is gone.
  #goTo(index) {
    this.#show(index);
    this.querySelector(".step").focus();
  }

  get #isRated() {
    return Object.values(this.given).some((ratings) => Object.values(ratings).some((rating) => rating !== null));
  }

  async #reveal() {
    if (!this.#isRated && !this.warned) {
      this.warned = true;
      this.warning.textContent = word("blind_unrated");
      return;
    }
    this.warning.textContent = "";
    const button = this.querySelector("#blind-reveal");
    button.disabled = true;
    try {
      const answers = this.tests.map(({ token }) =>
        callApi("reveal", token, JSON.stringify(this.ratingsOf(token)), this.share),
      );
      this.revealed = (await Promise.all(answers)).flatMap(({ rows }) => rows);
      this.rows = addRatings(this.revealed);
      this.isOver = true;
      keepTest(this.result, null);
      this.controls.replaceChildren();
      this.#summarise();
      this.results.focus();
    } catch (error) {
      this.warning.textContent = error.message;
      button.disabled = false;
    }
  }

  #summarise() {
    const forget = () => {
      clearRatings();
      this.rows = [];
      this.revealed = null;
      this.#summarise();
    };
    const table = this.revealed ? [make("h3", {}, word("blind_revealed")), revealedTable(this.revealed)] : [];
    const summary = this.rows.length ? ratingSummary(this.rows, forget) : [];
    this.results.replaceChildren(...table, ...summary);
  }
}

if (!customElements.get("blind-session")) customElements.define("blind-session", BlindSession);
