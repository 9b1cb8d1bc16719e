// The bar with the play button, the clock, the loop, the methods and the volume.

import { make } from "./dom.js";
import { formatTime } from "./drawing.js";
import { word } from "./i18n.js";
import { levelMeter } from "./meters.js";
import { speedControls } from "./speed.js";

export class Transport {
  constructor(player) {
    this.player = player;
    this.playButton = make("button", { class: "play", id: player.elementId("play"), onclick: () => player.toggle() });
    this.clock = make("span", { class: "clock", role: "timer", "aria-live": "off" });
    this.loopButton = make(
      "button",
      { id: player.elementId("loop"), title: word("loop_hint"), onclick: () => player.toggleLoop() },
      word("loop"),
    );
    this.methodButtons = [];
    this.speed = speedControls(player.engine, player.elementId("stretch"));
    this.element = make(
      "div",
      { class: "transport" },
      make("div", { class: "left" }, this.playButton, this.clock, this.loopButton),
      player.viewName === "blind" ? null : this.#methodSwitch(),
      this.#volume(),
      this.speed.element,
      player.viewName === "stems" ? this.#lossless() : null,
    );
  }

  #methodSwitch() {
    const { player } = this;
    this.methodButtons = player.methods.map((id) =>
      make(
        "button",
        { role: "radio", id: player.elementId(`method-${id}`), "data-method": id, onclick: () => player.choose(id) },
        player.methodTitle(id),
      ),
    );
    return make("div", { class: "methods", role: "radiogroup", "aria-label": word("methods") }, ...this.methodButtons);
  }

  #volume() {
    const { engine } = this.player;
    const slider = make("input", {
      type: "range", min: 0, max: 1.5, step: 0.01, value: engine.volume, "aria-label": word("volume"),
      oninput: (event) => engine.setVolume(Number(event.target.value)),
    });
    return make("label", { class: "volume" }, word("volume"), make("span", {}, slider, levelMeter(engine)));
  }

  #lossless() {
    const { engine } = this.player;
    const checkbox = make("input", {
      type: "checkbox", id: this.player.elementId("lossless"), checked: engine.lossless,
      onchange: (event) => engine.setLossless(event.target.checked),
    });
    return make("label", { class: "lossless", title: word("lossless_hint") }, checkbox, word("lossless"));
  }

  update() {
    const { engine, groups, method } = this.player;
    const active = engine.playing || engine.wanted;
    this.playButton.textContent = active ? "❚❚" : "▶";
    this.playButton.setAttribute("aria-label", word(active ? "pause" : "play"));
    this.loopButton.setAttribute("aria-pressed", String(!!engine.loop));
    this.speed.update();
    for (const button of this.methodButtons) {
      const group = groups.get(button.dataset.method);
      button.setAttribute("aria-checked", String(button.dataset.method === method));
      button.disabled = !group?.tracks.length;
      button.classList.toggle("working", !!group?.working);
    }
  }

  showTime(seconds, duration) {
    this.clock.textContent = `${formatTime(seconds)} / ${formatTime(duration)}`;
  }
}
