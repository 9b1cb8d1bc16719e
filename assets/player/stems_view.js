// The view of one method: the mixture as a ruler, a lane with controls and pictures for each stem, and the downloads.

import { make } from "./dom.js";
import { downloadBar } from "./downloads.js";
import { colourOf } from "./drawing.js";
import { displayName, formatNumber, sentence, speedText, word } from "./i18n.js";
import { icon } from "./icons.js";
import { levelMeter } from "./meters.js";
import { stemColour } from "./method_style.js";
import { overview } from "./overview.js";
import { cursorReadout } from "./readout.js";
import { isStem, stemLabel } from "./stems.js";
import { seekable, spectrogram, timeRuler, waveform } from "./timeline.js";

export class StemsView {
  constructor(player) {
    this.player = player;
    this.session = player.session;
    this.enlarged = null; // the stem whose spectrogram is large
    this.residualOpen = false;
  }

  build() {
    const { session } = this;
    const lanes = session.names.map((name, index) => this.#lane(name, index));
    this.lanes = lanes;
    const rest = lanes.filter((lane) => lane.dataset.row === "residual");
    return [
      this.#head(lanes.at(-1)),
      ...lanes.filter((lane) => isStem(lane.dataset.row)),
      rest.length ? this.#residual(rest) : null,
      this.#details(),
      make("p", { class: "keys" }, word("keys")),
    ].filter(Boolean);
  }

  // The song's name, the mixes and the zoom; below them the mixture, which is the ruler of all lanes.
  #head(mixture) {
    const { session } = this;
    const { name, tempo, key } = session.manifest;
    const facts = [tempo && word("tempo", { tempo: Math.round(tempo) }), key && keyName(key)].filter(Boolean);
    const title = make(
      "div",
      { class: "song" },
      make("h2", {}, sentence(name)),
      facts.length ? make("span", { class: "facts" }, facts.join(" · ")) : null,
    );
    const bar = make("div", { class: "bar" }, title, this.#mixes(), this.#zoomButtons());
    this.overview = overview(this.player);
    return make("div", { class: "head" }, bar, this.overview.element, mixture);
  }

  // Buttons for the one-click mixes.
  #mixes() {
    const { session } = this;
    this.mixButtons = Object.entries(session.presets).map(([name, stems]) => {
      const id = this.player.elementId(`mix-${name}`);
      return { stems, button: make("button", { id, onclick: () => session.hear(stems) }, word(`mix_${name}`)) };
    });
    const attributes = { class: "mixes", role: "group", "aria-label": word("mixes") };
    return make("div", attributes, ...this.mixButtons.map(({ button }) => button));
  }

  #zoomButtons() {
    const { session } = this;
    const button = (name, shape, action) => {
      const label = word(name);
      const id = this.player.elementId(name);
      return make("button", { id, class: "square", title: label, "aria-label": label, onclick: action }, icon(shape));
    };
    this.zoomOutButtons = [
      button("zoom_out", "zoomOut", () => session.zoom(1 / 2)),
      button("show_all", "fit", () => session.showAll()),
    ];
    const zoomIn = button("zoom_in", "zoomIn", () => session.zoom(2));
    return make("div", { class: "zoom", role: "group", "aria-label": word("zoom") }, zoomIn, ...this.zoomOutButtons);
  }

  #residual(lanes) {
    const details = make("details", { class: "residual", open: this.residualOpen }, make("summary", { id: this.player.elementId("residual") }, word("residual_lane")));
    details.append(...lanes);
    details.addEventListener("toggle", () => {
      this.residualOpen = details.open;
      this.player.draw();
    });
    return details;
  }

  #lane(name, index) {
    const { player, session } = this;
    const colour = () => colourOf(player, name, index);
    const id = session.trackId(name);
    const picture = session.track(name)?.picture;
    const isMixture = name === "mixture";
    const style = () => ({ colour: colour(), dimmed: !session.engine.isAudible(id) });
    const wave = waveform(player, () => [id], style);
    const alt = `${word("spectrogram")}: ${stemLabel(name)}`;
    const image = picture ? spectrogram(player, session.base + picture, alt, { id }) : null;
    if (image) cursorReadout(player, image);
    const pictures = make("div", {}, isMixture ? timeRuler(player) : null, wave, image);
    return make(
      "div",
      {
        class: `lane${isMixture ? " mixture" : ""}`, "data-row": name, style: `--lane:${stemColour(name, index)}`,
        onpointerdown: () => (session.selected = name),
      },
      this.#controls(name, index),
      seekable(player, pictures, { ruler: isMixture }),
    );
  }

  #controls(name, index) {
    const { player, session } = this;
    const label = stemLabel(name);
    const level = make("output", { class: "level" });
    const volume = make("input", {
      type: "range", min: 0, max: 2, step: 0.01, value: session.mix.state(name).volume, id: player.elementId(`volume-${name}`),
      "aria-label": `${word("volume")}: ${label}`,
      oninput: (event) => session.setVolume(name, Number(event.target.value)),
    });
    const title = make(
      "div",
      { class: "name", title: label },
      make("kbd", {}, index < 9 ? String(index + 1) : ""),
      make("span", {}, label),
      this.#score(name),
    );
    return make(
      "div",
      { class: "controls" },
      title,
      this.#buttons(name, label),
      make("div", { class: "fader" }, volume, level),
      levelMeter(session.engine, session.trackId(name)),
    );
  }

  #buttons(name, label) {
    const { player, session } = this;
    const button = (action, content, title, onclick) => {
      const id = player.elementId(`${action}-${name}`);
      return make("button", { class: action, id, title, "aria-label": `${title}: ${label}`, onclick }, content);
    };
    const solo = (event) => session.solo(name, { add: event.shiftKey || event.ctrlKey || event.metaKey });
    return make(
      "span",
      { class: "buttons" },
      button("mute", "M", word("mute"), () => session.mute(name)),
      button("solo", "S", word("solo"), solo),
      isStem(name) ? button("without", word("without_short"), word("without"), () => session.without(name)) : null,
      session.track(name)?.picture
        ? button("enlarge", icon("expand"), word("enlarge"), () => this.#enlarge(name))
        : null,
    );
  }

  #enlarge(name) {
    this.enlarged = this.enlarged === name ? null : name;
    this.update();
    this.player.draw();
  }

  #score(name) {
    const sdr = this.session.group?.scores?.targets[name]?.SDR;
    return typeof sdr === "number" ? make("small", {}, `SDR ${formatNumber(sdr, 1)} dB`) : null;
  }

  // The facts about the separation, its warnings and, when it is complete, the downloads.
  #details() {
    const { group } = this.session;
    const details = group?.details ?? {};
    const facts = describe(details);
    const warnings = (details.warnings ?? []).map((text) => make("em", {}, sentence(text)));
    return make(
      "div",
      { class: "details" },
      make("p", {}, ...facts.map((fact) => make("span", {}, fact)), ...warnings),
      group && !group.working ? downloadBar(this.player) : null,
    );
  }

  update() {
    const { session } = this;
    for (const lane of this.lanes) {
      const name = lane.dataset.row;
      const { muted, solo, volume } = session.mix.state(name);
      lane.querySelector(".mute").setAttribute("aria-pressed", String(muted));
      lane.querySelector(".solo").setAttribute("aria-pressed", String(solo));
      lane.querySelector(".enlarge")?.setAttribute("aria-pressed", String(this.enlarged === name));
      lane.querySelector(".level").textContent = decibels(volume);
      lane.classList.toggle("silent", !session.engine.isAudible(session.trackId(name)));
      lane.classList.toggle("large", this.enlarged === name);
    }
    for (const { stems, button } of this.mixButtons) {
      button.setAttribute("aria-pressed", String(session.mix.hears(stems, session.names)));
    }
    for (const button of this.zoomOutButtons) button.disabled = !session.viewport.isZoomed;
    this.overview.update();
  }

  changeVolume(name, step) {
    const { session } = this;
    session.setVolume(name, session.mix.state(name).volume + step);
    const lane = this.lanes.find((candidate) => candidate.dataset.row === name);
    if (lane) lane.querySelector("input").value = session.mix.state(name).volume;
  }

  // Return the action of a digit key: solo the stem of that number.
  digitAction(index, add) {
    const name = this.session.names[index];
    return name && (() => this.session.solo(name, { add }));
  }
}

function decibels(volume) {
  return volume > 0 ? `${formatNumber(20 * Math.log10(volume), 1)} dB` : "−∞ dB";
}

// The key in the visitor's language: "A minor" names a note and a mode.
function keyName(key) {
  const [note, mode] = key.split(" ");
  return word(`key_${mode}`, { note: displayName("note", note, note) });
}

function describe({ model, residual_db: residual, seconds, real_time_factor: rtf, device, gain_db: gain }) {
  const facts = [];
  if (model) facts.push(model);
  if (residual === null) facts.push(word("no_residual"));
  else if (residual !== undefined) facts.push(word("residual_db", { db: formatNumber(residual, 1) }));
  if (seconds !== undefined) facts.push(word("took", { s: formatNumber(seconds, 1), speed: speedText(rtf), device: device.toUpperCase() }));
  if (gain) facts.push(word("lowered", { db: formatNumber(-gain, 1) }));
  return facts;
}
