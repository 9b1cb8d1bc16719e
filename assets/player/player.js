// The element <stem-player manifest="..." view="stems|compare|blind" token="...">.

import { BlindTestView } from "./blind_test_view.js";
import { ComparisonView } from "./comparison_view.js";
import { make } from "./dom.js";
import { decodePeaks } from "./drawing.js";
import { Engine } from "./engine.js";
import { displayName, word } from "./i18n.js";
import { handleKey } from "./keyboard.js";
import { isStem, sortStems } from "./stems.js";
import { StemsView } from "./stems_view.js";
import { Transport } from "./transport.js";

const VIEWS = { stems: StemsView, compare: ComparisonView, blind: BlindTestView };
const players = new Set();

class StemPlayer extends HTMLElement {
  static observedAttributes = ["manifest"];

  // Gradio reuses the element for another result but removes its content.
  // Replace it with a new element once all its attributes are set.
  attributeChangedCallback(name, before) {
    if (before !== null) setTimeout(() => this.isConnected && this.replaceWith(this.cloneNode(false)));
  }

  connectedCallback() {
    if (this.engine) return;
    this.viewName = this.getAttribute("view") ?? "stems";
    this.view = new VIEWS[this.viewName](this);
    this.url = this.getAttribute("manifest");
    this.base = this.url.replace(/[^/]*$/, "");
    this.engine = new Engine();
    this.engine.addEventListener("change", () => this.show());
    this.stemStates = new Map(); // name -> {muted, solo, volume}, kept when the method changes
    this.method = null;
    this.selected = null; // the stem that keyboard shortcuts change
    this.peaks = new Map(); // track id -> {ready, samples}
    this.playheads = [];
    this.canvases = [];
    players.add(this);
    this.classList.add("stem-player");
    this.tabIndex = 0;
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", word("player"));
    this.onKey = (event) => handleKey(this, event);
    document.addEventListener("keydown", this.onKey);
    this.sizeObserver = new ResizeObserver(() => this.draw());
    this.sizeObserver.observe(this);
    this.themeObserver = new MutationObserver(() => this.draw());
    this.themeObserver.observe(document.body, { attributeFilter: ["class"] });
    this.#poll();
    this.#animate();
  }

  disconnectedCallback() {
    // A moved element is disconnected and connected again at once.
    setTimeout(() => {
      if (this.isConnected) return;
      players.delete(this);
      document.removeEventListener("keydown", this.onKey);
      this.sizeObserver.disconnect();
      this.themeObserver.disconnect();
      this.engine.close();
      this.removed = true;
      this.#forgetLink();
    });
  }

  // -- the manifest

  // Fetch the manifest until the separation is complete. Give up after 20 errors.
  async #poll() {
    let errors = 0;
    while (!this.removed) {
      try {
        const response = await fetch(this.url, { cache: "no-store" });
        if (!response.ok) throw new Error(`${response.status}`);
        const text = await response.text();
        if (text !== this.text) {
          this.text = text;
          this.#load(JSON.parse(text));
        }
        if (!this.manifest.working) return;
      } catch {
        if (this.manifest && !this.manifest.working) return;
        errors += 1;
        if (errors > 20) {
          this.replaceChildren(make("p", { class: "gone", role: "status" }, word("gone")));
          return;
        }
      }
      const started = this.manifest && this.methods.some((id) => id !== "references");
      await new Promise((resolve) => setTimeout(resolve, started ? 1000 : 250)); // show the first stem quickly
    }
  }

  #load(manifest) {
    this.manifest = manifest;
    this.groups = new Map(manifest.groups.map((group) => [group.id, group]));
    this.engine.load(manifest, this.base);
    const playable = this.methods.filter((id) => this.groups.get(id).tracks.length);
    // Prefer an estimate to the references unless the user chose them.
    if (!playable.includes(this.method) || (this.method === "references" && !this.chosen)) {
      this.method = playable.find((id) => id !== "references") ?? playable[0] ?? null;
    }
    if (this.viewName === "stems") history.replaceState(null, "", this.link);
    this.#build();
    this.applyMix();
  }

  // Remove the link to this result from the page's address.
  #forgetLink() {
    const url = new URL(window.location.href);
    if (this.viewName !== "stems" || url.searchParams.get("result") !== this.getAttribute("token")) return;
    url.searchParams.delete("result");
    history.replaceState(null, "", url);
  }

  get link() {
    const url = new URL(window.location.href);
    url.searchParams.set("result", this.getAttribute("token"));
    return url;
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
    return displayName("method", method, this.groups.get(method).title);
  }

  // -- the mix

  stemState(name) {
    if (!this.stemStates.has(name)) this.stemStates.set(name, { muted: !isStem(name), solo: false, volume: 1 });
    return this.stemStates.get(name);
  }

  // The gains of the audible stems of the current method, {name: gain}. Solos of stems it lacks are ignored.
  get gains() {
    const solos = this.names.filter((name) => this.stemState(name).solo);
    const audible = solos.length ? solos : this.names.filter((name) => !this.stemState(name).muted);
    return Object.fromEntries(audible.map((name) => [name, this.stemState(name).volume]));
  }

  applyMix() {
    if (!this.manifest || this.viewName === "blind") return;
    const gains = Object.entries(this.gains).map(([name, gain]) => [this.trackId(name), gain]);
    this.engine.mix(Object.fromEntries(gains));
    this.show();
  }

  choose(method) {
    if (!this.groups.get(method)?.tracks.length) return;
    this.method = method;
    this.chosen = true;
    this.#build();
    this.applyMix();
  }

  // Toggle the solo of a stem. Without `add` it replaces all other solos.
  solo(name, { add = false } = {}) {
    const state = this.stemState(name);
    const isOnly = state.solo && this.names.filter((other) => this.stemState(other).solo).length === 1;
    if (add) state.solo = !state.solo;
    else {
      this.#clearSolos();
      state.solo = !isOnly;
    }
    this.selected = name;
    this.applyMix();
  }

  soloOnly(name) {
    this.#clearSolos();
    this.stemState(name).solo = true;
    this.applyMix();
  }

  #clearSolos() {
    for (const state of this.stemStates.values()) state.solo = false;
  }

  mute(name) {
    const state = this.stemState(name);
    state.muted = !state.muted;
    this.selected = name;
    this.applyMix();
  }

  // Mute one stem and unmute all others, or unmute all if that is the case already.
  without(name) {
    const stems = this.names.filter(isStem);
    const already = stems.every((other) => this.stemState(other).muted === (other === name));
    this.#clearSolos();
    for (const other of stems) this.stemState(other).muted = !already && other === name;
    this.selected = name;
    this.applyMix();
  }

  // -- playback

  // Play or pause. Only one player plays at a time.
  async toggle() {
    if (this.engine.playing || this.engine.wanted) return this.engine.pause();
    for (const other of players) if (other !== this) other.engine?.pause();
    return this.engine.play();
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
    const rate = this.manifest.rate;
    return this.engine.setLoop({ from: Math.round(from * rate), to: Math.round(to * rate) });
  }

  // Turn the loop off, or loop four seconds from the current position.
  toggleLoop() {
    if (this.engine.loop) return this.engine.setLoop(null);
    const from = Math.min(this.seconds, Math.max(0, this.duration - 4));
    return this.setLoop(from, Math.min(this.duration, from + 4));
  }

  // -- the content

  // Rebuild the content when methods or rows change, otherwise only update it.
  #build() {
    const groups = this.manifest.groups.map(({ id, title, scores, tracks }) => {
      return [id, title, !!scores, tracks.map((track) => [track.name, track.picture])];
    });
    const shape = JSON.stringify([groups, this.viewName === "compare" ? "" : this.method]);
    if (shape !== this.shape) {
      this.shape = shape;
      const focused = document.activeElement?.closest?.("stem-player") === this ? document.activeElement.id : "";
      this.playheads = [];
      this.canvases = [];
      this.transport = new Transport(this);
      const song = make("h2", { class: "song" }, this.manifest.name);
      this.replaceChildren(song, this.transport.element, ...this.view.build());
      if (focused) this.querySelector(`#${CSS.escape(focused)}`)?.focus();
    }
    this.#loadPeaks();
    this.draw();
    this.show();
  }

  elementId(id) {
    return `${this.viewName}-${id}`.replace(/[^\w-]/g, "-");
  }

  #loadPeaks() {
    for (const group of this.manifest.groups) {
      for (const track of group.tracks) {
        const id = `${group.id}/${track.name}`;
        const loaded = this.peaks.get(id);
        if (loaded?.ready === track.ready) continue;
        this.peaks.set(id, { ready: track.ready, samples: loaded?.samples });
        fetch(`${this.base}${track.peaks}?v=${track.ready}`)
          .then((response) => response.arrayBuffer())
          .then((bytes) => {
            this.peaks.get(id).samples = decodePeaks(bytes);
            this.draw();
          })
          .catch(() => this.peaks.delete(id));
      }
    }
  }

  // The highest peak of the song. All waveforms share it as full scale, so that they can be compared.
  get highestPeak() {
    const peaks = this.peaks.get("song/mixture")?.samples ?? [...this.peaks.values()][0]?.samples;
    if (!peaks) return 1;
    if (this.measuredPeaks !== peaks) {
      this.measuredPeaks = peaks;
      this.measuredPeak = peaks.reduce((highest, value) => Math.max(highest, Math.abs(value)), 0.01);
    }
    return this.measuredPeak;
  }

  get inkColour() {
    return getComputedStyle(this).getPropertyValue("--player-ink").trim();
  }

  // Redraw all canvases in the next animation frame.
  draw() {
    if (!this.manifest || this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = null;
      for (const { canvas, draw } of this.canvases) draw(canvas);
    });
  }

  // Update everything that depends on the state of the playback and of the mix.
  show() {
    if (!this.transport) return;
    this.classList.toggle("waiting", this.engine.wanted && !this.engine.playing);
    this.transport.update();
    this.view.update();
    this.draw();
    this.#movePlayheads();
  }

  #animate() {
    if (this.removed) return;
    if (this.engine.playing) this.#movePlayheads();
    requestAnimationFrame(() => this.#animate());
  }

  #movePlayheads() {
    const share = this.engine.position / this.manifest.frames;
    for (const playhead of this.playheads) playhead.style.left = `${100 * share}%`;
    this.transport.showTime(this.seconds, this.duration);
  }
}

if (!customElements.get("stem-player")) customElements.define("stem-player", StemPlayer);
