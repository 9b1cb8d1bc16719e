// The bar at the bottom of every page: it plays, pauses, loops, switches methods and sets the volume of the current player.

import { make } from "./dom.js";
import { formatTime } from "./drawing.js";
import { sentence, word } from "./i18n.js";
import { icon } from "./icons.js";
import { arrowStep } from "./keyboard.js";
import { levelMeter } from "./meters.js";
import { speedControls } from "./speed.js";

class Dock {
  constructor() {
    this.players = new Set();
    this.player = null; // the one that the bar controls
  }

  // Show the bar for a player, unless another one plays; with `take` in any case.
  attach(player, { take = false } = {}) {
    this.players.add(player);
    const isFree = !this.player?.session.isActive || this.player.session === player.session;
    if (take || !this.player || (isFree && player.offsetParent)) this.player = player;
    this.#build();
  }

  detach(player) {
    this.players.delete(player);
    if (this.player !== player) return;
    const others = [...this.players];
    this.player = others.find((other) => other.offsetParent) ?? others[0] ?? null;
    this.#build();
  }

  // Update the bar if it controls this player or another view of the same result.
  update(player) {
    if (player.session !== this.player?.session) return;
    this.#build();
    this.#refresh();
  }

  // -- the content

  // Rebuild the bar when the player or its methods change.
  #build() {
    const { player } = this;
    const shape = player && JSON.stringify([player.viewName === "blind", player.session.url, titles(player)]);
    if (shape === this.shape) return;
    this.shape = shape;
    document.body.classList.toggle("has-dock", !!player);
    this.element ??= make("section", { class: "stem-dock", "aria-label": word("playback") });
    if (!player) return this.element.remove();
    const isBlind = player.viewName === "blind";
    this.speed = speedControls(player.session);
    const focused = this.element.contains(document.activeElement) ? document.activeElement.id : "";
    this.element.replaceChildren(
      this.#playback(),
      this.speed.element,
      isBlind ? make("div", { class: "methods" }) : this.#methodSwitch(),
      this.#volume(),
      ...(isBlind ? [] : [this.#lossless()]),
    );
    if (!this.element.isConnected) document.body.append(this.element);
    if (focused) this.element.querySelector(`#${CSS.escape(focused)}`)?.focus();
    this.#refresh();
  }

  #playback() {
    this.playButton = make("button", { class: "play", id: "dock-play", onclick: () => this.player.toggle() });
    this.clock = make("span", { class: "clock", role: "timer", "aria-live": "off" });
    this.song = make("span", { class: "title" });
    this.loopButton = make(
      "button",
      {
        class: "loop", id: "dock-loop", title: word("loop_hint"), "aria-label": word("loop"),
        onclick: () => this.player.session.toggleLoop(),
      },
      icon("loop"),
    );
    const text = make("span", { class: "now" }, this.song, this.clock);
    return make("div", { class: "playback" }, this.playButton, text, this.loopButton);
  }

  // Radio buttons: Tab reaches the chosen one, the arrow keys choose.
  #methodSwitch() {
    const { session } = this.player;
    this.methodButtons = session.methods.map((id) =>
      make(
        "button",
        { role: "radio", id: `dock-method-${id}`, "data-method": id, onclick: () => session.choose(id) },
        session.methodTitle(id),
      ),
    );
    const onkeydown = (event) => {
      const step = arrowStep(event);
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const enabled = this.methodButtons.filter((button) => !button.disabled);
      const next = enabled[enabled.indexOf(document.activeElement) + step];
      next?.click();
      next?.focus();
    };
    const attributes = { class: "methods", role: "radiogroup", "aria-label": word("methods"), onkeydown };
    return make("div", attributes, ...this.methodButtons);
  }

  #volume() {
    const { session } = this.player;
    const slider = make("input", {
      type: "range", min: 0, max: 1.5, step: 0.01, value: session.engine.volume, "aria-label": word("volume"),
      id: "dock-volume", oninput: (event) => session.setMasterVolume(Number(event.target.value)),
    });
    return make("label", { class: "volume", title: word("volume") }, icon("volume"), make("span", {}, slider, levelMeter(session.engine)));
  }

  #lossless() {
    const { engine } = this.player.session;
    const checkbox = make("input", {
      type: "checkbox", id: "dock-lossless", checked: engine.lossless,
      onchange: (event) => engine.setLossless(event.target.checked),
    });
    return make("label", { class: "lossless", title: word("lossless_hint") }, checkbox, word("lossless"));
  }

  #refresh() {
    const { session } = this.player;
    const active = session.isActive;
    this.element.classList.toggle("waiting", active && !session.engine.playing);
    if (this.shownIcon !== active || !this.playButton.firstChild) {
      this.shownIcon = active;
      this.playButton.replaceChildren(icon(active ? "pause" : "play"));
    }
    this.playButton.setAttribute("aria-label", word(active ? "pause" : "play"));
    this.loopButton.setAttribute("aria-pressed", String(!!session.engine.loop));
    this.speed.update();
    this.song.textContent = session.engine.loader.isOffline ? word("no_connection_short") : sentence(session.manifest.name);
    this.#showTime();
    this.#tick();
    if (this.player.viewName === "blind") return;
    for (const button of this.methodButtons) {
      const id = button.dataset.method;
      const chosen = id === session.method;
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
      button.disabled = !session.groups.get(id)?.tracks.length;
      button.classList.toggle("working", !!session.groups.get(id)?.working);
    }
  }

  // Keep the clock running until playback pauses.
  #tick() {
    if (this.ticking || !this.player?.engine.playing) return;
    this.ticking = true;
    requestAnimationFrame(() => {
      this.ticking = false;
      if (this.player) this.#showTime();
      this.#tick();
    });
  }

  #showTime() {
    const { session } = this.player;
    const text = `${formatTime(session.seconds)} / ${formatTime(session.duration)}`;
    if (this.clock.textContent !== text) this.clock.textContent = text;
  }
}

function titles({ session }) {
  return session.methods.map((id) => [id, session.methodTitle(id)]);
}

export const dock = new Dock();
