// One result: its manifest, its audio and what the listener has set. Several views may show the same session.

import { Engine } from "./engine.js";
import { displayName, sentence } from "./i18n.js";
import { Mix } from "./mix.js";
import { pauseOtherSound } from "./other_sound.js";
import { Peaks } from "./peaks.js";
import { addressWith, addressWithout, loadSettings, saveSettings } from "./settings.js";
import { isStem, sortStems } from "./stems.js";
import { Viewport } from "./viewport.js";
import { isMissing } from "./wav.js";

const SIMPLE_METHODS = ["mix", "hpss", "ica", "irm", "ibm", "mwf"]; // baselines and oracles
const MOST_ERRORS = 20; // in a row, before the result counts as gone

const sessions = new Map(); // URL of the manifest -> session

// Return the session of a manifest; call `release` when it is no longer shown. A result that was worked on again has
// "?run=..." in its URL; the other pages join that session.
export function openSession(url, token) {
  const joined = [...sessions.values()].find((other) => other.token === token && !url.includes("?"));
  const session = sessions.get(url) ?? joined ?? new Session(url, token);
  sessions.set(session.url, session);
  session.views += 1;
  return session;
}

// Events: "manifest" (methods or stems have changed), "change" (playback, mix or method), "view" (zoom), "peaks", "gone".
export class Session extends EventTarget {
  constructor(url, token) {
    super();
    this.url = url;
    this.token = token;
    this.base = url.replace(/[^/]*$/, "");
    this.views = 0;
    this.manifest = null;
    this.engine = new Engine();
    this.engine.addEventListener("change", () => this.#changed());
    this.engine.addEventListener("missing", () => this.check());
    this.mix = new Mix();
    this.viewport = new Viewport();
    this.selected = null; // the stem that keyboard shortcuts change
    this.peaks = new Peaks();
    this.#restore();
    this.#poll();
  }

  // Close the session with its last view. A moved view is disconnected and connected again at once.
  release() {
    this.views -= 1;
    setTimeout(() => {
      if (this.views || sessions.get(this.url) !== this) return;
      sessions.delete(this.url);
      this.closed = true;
      this.engine.close();
      this.#leaveAddress();
    });
  }

  #emit(type) {
    this.dispatchEvent(new Event(type));
  }

  // -- the manifest

  async #poll() {
    let errors = 0;
    while (!this.closed) {
      try {
        const response = await fetch(this.url, { cache: "no-store" }).catch(() => null); // no connection is no answer
        if (response && isMissing(response.status)) throw new Error(`${response.status}`);
        const isAnswer = response?.ok; // a proxy answers 502 while the server restarts
        const text = isAnswer ? await response.text() : this.text;
        if (text !== this.text) {
          this.text = text;
          this.#load(JSON.parse(text));
        }
        if (isAnswer && !this.manifest.working) return;
        errors = 0;
      } catch {
        errors += 1;
        if (errors > MOST_ERRORS) return this.#end();
      }
      const started = this.manifest && this.methods.some((id) => id !== "references");
      await new Promise((resolve) => setTimeout(resolve, started ? 1000 : 250)); // show the first stem quickly
    }
  }

  // Ask whether a finished result is still there: it expires, and its host may remove it.
  async check() {
    if (!this.manifest || this.manifest.working || this.isGone) return;
    const response = await fetch(this.url, { cache: "no-store" }).catch(() => null); // no connection is no answer
    if (response && isMissing(response.status)) this.#end();
  }

  #end() {
    if (this.isGone) return;
    this.isGone = true;
    this.engine.close();
    this.#leaveAddress();
    this.#emit("gone");
  }

  #leaveAddress() {
    const address = new URL(window.location.href);
    if (address.searchParams.get("result") === this.token) history.replaceState(null, "", addressWithout(address));
  }

  #load(manifest) {
    this.manifest = manifest;
    this.groups = new Map(manifest.groups.map((group) => [group.id, group]));
    this.viewport.setDuration(this.duration);
    if (this.pendingView) this.viewport.show(...this.pendingView);
    this.pendingView = null;
    this.engine.load(manifest, this.base);
    this.#chooseMethod(this.methods.filter((id) => this.groups.get(id).tracks.length));
    this.peaks.load(manifest, this.base, () => this.#emit("peaks"));
    this.#emit("manifest");
    this.applyMix();
  }

  // Keep the method that the listener has chosen or hears; else prefer networks to simple estimates, and those to the
  // true sources.
  #chooseMethod(playable) {
    const isKept = this.chosen || (this.isActive && this.method !== "references");
    if (isKept && playable.includes(this.method)) return;
    const rank = (id) => (id === this.wantedMethod ? 0 : id === "references" ? 3 : SIMPLE_METHODS.includes(id) ? 2 : 1);
    this.method = [...playable].sort((one, other) => rank(one) - rank(other))[0] ?? null;
  }

  // The ids of all groups except the song itself.
  get methods() {
    return this.manifest.groups.map((group) => group.id).filter((id) => id !== "song");
  }

  // The group of the current method.
  get group() {
    return this.groups.get(this.method);
  }

  // The stems of the current method, then its residual, then the mixture.
  get names() {
    return [...sortStems((this.group?.tracks ?? []).map((track) => track.name)), "mixture"];
  }

  track(name, method = this.method) {
    const group = this.groups.get(name === "mixture" ? "song" : method);
    return group?.tracks.find((track) => track.name === name);
  }

  trackId(name, method = this.method) {
    return name === "mixture" ? "song/mixture" : `${method}/${name}`;
  }

  methodTitle(method) {
    return displayName("method", method, sentence(this.groups.get(method).title));
  }

  choose(method) {
    if (!this.groups.get(method)?.tracks.length) return;
    this.method = this.wantedMethod = method;
    this.chosen = true;
    this.#emit("manifest");
    this.applyMix();
  }

  // -- the mix

  // The gains of the audible stems of the current method, {name: gain}.
  get gains() {
    return this.mix.gains(this.names);
  }

  applyMix() {
    if (!this.manifest || this.groups.has("blind")) return; // the blind test mixes by itself
    const gains = Object.entries(this.gains).map(([name, gain]) => [this.trackId(name), gain]);
    this.engine.mix(Object.fromEntries(gains));
    this.#changed();
  }

  solo(name, options) {
    this.mix.solo(name, this.names, options);
    this.selected = name;
    this.applyMix();
  }

  soloOnly(name) {
    this.mix.soloOnly(name);
    this.applyMix();
  }

  mute(name) {
    this.mix.mute(name);
    this.selected = name;
    this.applyMix();
  }

  without(name) {
    this.mix.without(name, this.names);
    this.selected = name;
    this.applyMix();
  }

  setVolume(name, volume) {
    this.mix.setVolume(name, volume);
    this.applyMix();
  }

  setMasterVolume(volume) {
    this.engine.setVolume(volume);
    this.#keep();
  }

  // The one-click mixes of a method with vocals: name -> its stems.
  get presets() {
    const stems = this.names.filter(isStem);
    const others = this.names.filter((name) => name !== "vocals" && name !== "mixture"); // the song minus the vocals
    const hasOthers = stems.includes("vocals") && stems.length > 1;
    return hasOthers ? { all: stems, karaoke: others, a_cappella: ["vocals"] } : {};
  }

  hear(chosen) {
    this.mix.hear(chosen, this.names);
    this.applyMix();
  }

  // -- playback

  async toggle() {
    if (this.engine.playing || this.engine.wanted) return this.engine.pause();
    for (const other of sessions.values()) if (other !== this) other.engine.pause(); // one plays at a time
    pauseOtherSound();
    return this.engine.play();
  }

  get isActive() {
    return this.engine.playing || this.engine.wanted;
  }

  seek(seconds) {
    return this.engine.seek(seconds * this.manifest.rate);
  }

  get seconds() {
    return this.engine.position / (this.manifest?.rate ?? 1);
  }

  get duration() {
    return this.manifest.frames / this.manifest.rate;
  }

  get loopSeconds() {
    const { loop } = this.engine;
    return loop && { from: loop.from / this.manifest.rate, to: loop.to / this.manifest.rate };
  }

  setLoop(from, to) {
    return this.engine.setLoop(this.#samples(from, to));
  }

  // Show a loop while its ends are dragged; playback goes on as before until `setLoop`.
  previewLoop(from, to) {
    this.showLoop(this.#samples(from, to));
  }

  showLoop(loop) {
    this.engine.loop = loop;
    this.#emit("change");
  }

  #samples(from, to) {
    return { from: Math.round(from * this.manifest.rate), to: Math.round(to * this.manifest.rate) };
  }

  // Turn the loop off, or loop four seconds from the current position.
  toggleLoop() {
    if (this.engine.loop) return this.engine.setLoop(null);
    const from = Math.min(this.seconds, Math.max(0, this.duration - 4));
    return this.setLoop(from, Math.min(this.duration, from + 4));
  }

  // -- zoom

  // Zoom around the playhead if it is visible, else around the middle.
  zoom(factor, around) {
    const { viewport } = this;
    const playhead = this.seconds / this.duration;
    const isVisible = playhead >= viewport.from && playhead <= viewport.to;
    this.#viewChanged(viewport.zoom(factor, around ?? (isVisible ? playhead : undefined)));
  }

  scroll(pages) {
    this.#viewChanged(this.viewport.scroll(pages));
  }

  showAll() {
    this.#viewChanged(this.viewport.show(0, 1));
  }

  // Turn the page if the playhead has left the view.
  followPlayhead() {
    this.#viewChanged(this.viewport.follow(this.seconds / this.duration));
  }

  #viewChanged(changed) {
    if (!changed) return;
    this.#keep();
    this.#emit("view");
  }

  // -- settings

  #changed() {
    this.#keep();
    this.#emit("change");
  }

  get settings() {
    const { viewport, mix, engine } = this;
    return {
      ...(this.chosen && { method: this.method }),
      ...(Object.keys(mix.toJSON()).length && { mix: mix.toJSON() }),
      ...(viewport.isZoomed && { view: [viewport.from, viewport.to].map((share) => Number(share.toFixed(5))) }),
      ...(engine.loop && { loop: [engine.loop.from, engine.loop.to] }),
      ...(engine.volume !== 1 && { volume: engine.volume }),
      ...(engine.speed !== 1 && { speed: engine.speed }),
      ...(engine.semitones !== 0 && { semitones: engine.semitones }),
    };
  }

  // The address of this page with the result and the settings.
  get link() {
    return addressWith(window.location.href, this.token, this.settings);
  }

  #keep() {
    saveSettings(this.token, this.settings);
  }

  #restore() {
    const { method, mix, view, loop, volume, speed, semitones } = loadSettings(this.token);
    const isRange = (range) => Array.isArray(range) && range.length === 2 && range.every(Number.isFinite);
    if (typeof method === "string") {
      this.wantedMethod = method;
      this.chosen = true;
    }
    this.mix.restore(mix);
    if (isRange(view)) this.pendingView = view;
    if (isRange(loop)) this.engine.loop = { from: loop[0], to: loop[1] };
    if (speed >= 0.5 && speed <= 1.5) this.engine.speed = Number(speed);
    if (Number.isInteger(semitones) && Math.abs(semitones) <= 12) this.engine.semitones = semitones;
    if (Number.isFinite(volume)) this.engine.setVolume(Math.max(0, Math.min(1.5, volume)));
  }
}
