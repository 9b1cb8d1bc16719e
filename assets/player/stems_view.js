// The view of one method: a row with controls and pictures for each stem, and the downloads.

import { make } from "./dom.js";
import { downloadBar } from "./downloads.js";
import { colourOf } from "./drawing.js";
import { speedText, word } from "./i18n.js";
import { levelMeter } from "./meters.js";
import { isStem, stemLabel } from "./stems.js";
import { seekable, spectrogram, timeRuler, waveform } from "./timeline.js";

export class StemsView {
  constructor(player) {
    this.player = player;
  }

  build() {
    const { player } = this;
    this.rows = player.names.map((name, index) => this.#row(name, index));
    const ruler = seekable(player, timeRuler(player), { ruler: true });
    return [
      make("div", { class: "row head" }, make("div", { class: "controls" }), ruler),
      ...this.rows,
      this.#details(),
      make("p", { class: "keys" }, word("keys")),
    ];
  }

  #row(name, index) {
    const { player } = this;
    const colour = colourOf(player, name, index);
    const id = player.trackId(name);
    const picture = player.track(name)?.picture;
    const style = () => ({ colour: colourOf(player, name, index), dimmed: !player.engine.isAudible(id) });
    const pictures = make(
      "div",
      {},
      waveform(player, () => [id], style),
      picture ? spectrogram(player, player.base + picture, `${word("spectrogram")}: ${stemLabel(name)}`) : null,
    );
    return make(
      "div",
      {
        class: "row lane", "data-row": name, style: `--lane:${colour}`,
        onpointerdown: () => (player.selected = name),
      },
      this.#controls(name, index),
      seekable(player, pictures),
    );
  }

  #controls(name, index) {
    const { player } = this;
    const label = stemLabel(name);
    const state = player.stemState(name);
    const volume = make("input", {
      type: "range", min: 0, max: 2, step: 0.01, value: state.volume, "aria-label": `${word("volume")}: ${label}`,
      oninput: (event) => {
        state.volume = Number(event.target.value);
        player.applyMix();
      },
    });
    const title = make(
      "div",
      { class: "name", title: label },
      make("kbd", {}, index < 9 ? String(index + 1) : ""),
      make("span", {}, label),
      this.#score(name),
    );
    return make("div", { class: "controls" }, title, this.#buttons(name, label), volume, levelMeter(player.engine, player.trackId(name)));
  }

  #buttons(name, label) {
    const { player } = this;
    const button = (action, text, title, onclick) => {
      const id = player.elementId(`${action}-${name}`);
      return make("button", { class: action, id, title, "aria-label": `${title}: ${label}`, onclick }, text);
    };
    const solo = (event) => player.solo(name, { add: event.shiftKey || event.ctrlKey || event.metaKey });
    return make(
      "span",
      { class: "buttons" },
      button("mute", "M", word("mute"), () => player.mute(name)),
      button("solo", "S", word("solo"), solo),
      isStem(name) ? button("without", "−1", word("without"), () => player.without(name)) : null,
    );
  }

  #score(name) {
    const sdr = this.player.group?.scores?.targets[name]?.SDR;
    return typeof sdr === "number" ? make("small", {}, `SDR ${sdr.toFixed(1)} dB`) : null;
  }

  // The facts about the separation, its warnings and, when it is complete, the downloads.
  #details() {
    const { group } = this.player;
    const details = group?.details ?? {};
    const facts = this.#facts(details);
    const warnings = (details.warnings ?? []).map((text) => make("em", {}, text));
    return make(
      "div",
      { class: "details" },
      make("p", {}, ...facts.map((fact) => make("span", {}, fact)), ...warnings),
      group && !group.working ? downloadBar(this.player) : null,
    );
  }

  #facts({ model, residual_db: residual, seconds, real_time_factor: rtf, device, gain_db: gain }) {
    const facts = [];
    if (model) facts.push(model);
    if (residual === null) facts.push(word("no_residual"));
    else if (residual !== undefined) facts.push(word("residual_db", { db: residual.toFixed(1) }));
    if (seconds !== undefined) facts.push(word("took", { s: seconds.toFixed(1), speed: speedText(rtf), device }));
    if (gain) facts.push(word("lowered", { db: (-gain).toFixed(1) }));
    return facts;
  }

  update() {
    const { player } = this;
    for (const row of this.rows) {
      const name = row.dataset.row;
      const { muted, solo } = player.stemState(name);
      row.querySelector(".mute").setAttribute("aria-pressed", String(muted));
      row.querySelector(".solo").setAttribute("aria-pressed", String(solo));
      row.classList.toggle("silent", !player.engine.isAudible(player.trackId(name)));
    }
  }

  changeVolume(name, step) {
    const state = this.player.stemState(name);
    state.volume = Math.max(0, Math.min(2, state.volume + step));
    const row = this.rows.find((candidate) => candidate.dataset.row === name);
    if (row) row.querySelector("input").value = state.volume;
    this.player.applyMix();
  }

  // Return the action of a digit key: solo the stem of that number.
  digitAction(index, add) {
    const name = this.player.names[index];
    return name && (() => this.player.solo(name, { add }));
  }
}
