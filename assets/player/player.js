// The element <stem-player manifest="..." view="stems|compare|blind" token="...">.

import { BlindTestView } from "./blind_test_view.js";
import { ComparisonView } from "./comparison_view.js";
import { Detail } from "./detail.js";
import { dock } from "./dock.js";
import { make } from "./dom.js";
import { word } from "./i18n.js";
import { FrameQueue } from "./frame_queue.js";
import { handleKey } from "./keyboard.js";
import { showLoopHandles } from "./loop_handles.js";
import { openSession } from "./session.js";
import { addressWith } from "./settings.js";
import { StemsView } from "./stems_view.js";
import { Viewport } from "./viewport.js";

const VIEWS = { stems: StemsView, compare: ComparisonView, blind: BlindTestView };
const WHOLE_SONG = new Viewport();

class StemPlayer extends HTMLElement {
  static observedAttributes = ["manifest"];

  // Gradio reuses the element for another result but removes its content.
  // Replace it with a new element once all its attributes are set.
  attributeChangedCallback(name, before) {
    if (before !== null) setTimeout(() => this.isConnected && this.replaceWith(this.cloneNode(false)));
  }

  connectedCallback() {
    if (this.session) return;
    this.viewName = this.getAttribute("view") ?? "stems";
    this.session = openSession(this.getAttribute("manifest"), this.getAttribute("token"));
    this.isZoomable = this.viewName === "stems";
    this.detail = new Detail(this.session);
    this.frames = new FrameQueue(({ canvas, draw }) => draw(canvas));
    this.view = new VIEWS[this.viewName](this);
    this.#forgetContent();
    this.classList.add("stem-player");
    this.tabIndex = 0;
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", word("player"));
    this.#listen();
    if (this.session.isGone) this.#tellGone();
    else if (this.session.manifest) this.#load();
    this.#animate();
  }

  #listen() {
    this.listeners = new AbortController();
    const { signal } = this.listeners;
    const on = (type, action) => this.session.addEventListener(type, action, { signal });
    on("manifest", () => this.#load());
    on("change", () => {
      this.#build();
      if (!this.isAnimated) this.#animate();
    });
    on("view", () => this.show());
    on("peaks", () => this.draw());
    on("gone", () => this.#tellGone());
    document.addEventListener("keydown", (event) => handleKey(this, event), { signal });
    const sizeObserver = new ResizeObserver(() => this.draw());
    sizeObserver.observe(this);
    const screenObserver = new IntersectionObserver(([entry]) => (this.isOnScreen = entry.isIntersecting));
    screenObserver.observe(this);
    const themeObserver = new MutationObserver(() => this.draw());
    themeObserver.observe(document.body, { attributeFilter: ["class"] });
    signal.addEventListener("abort", () => {
      sizeObserver.disconnect();
      screenObserver.disconnect();
      themeObserver.disconnect();
    });
  }

  disconnectedCallback() {
    // A moved element is disconnected and connected again at once.
    setTimeout(() => {
      if (this.isConnected || this.removed) return;
      this.removed = true;
      this.listeners.abort();
      dock.detach(this);
      this.session.release();
    });
  }

  #load() {
    if (this.viewName === "stems") history.replaceState(null, "", addressWith(window.location.href, this.session.token));
    this.#build();
    dock.attach(this);
  }

  #tellGone() {
    this.#forgetContent();
    this.replaceChildren(make("p", { class: "gone", role: "status" }, word("gone")));
    dock.detach(this);
    if (this.viewName === "stems") document.dispatchEvent(new Event("result-gone")); // the page asks what is left
  }

  // The part of the song that this view shows.
  get viewport() {
    return this.isZoomable ? this.session.viewport : WHOLE_SONG;
  }

  // Play or pause; the bar at the bottom then belongs to this player.
  toggle() {
    dock.attach(this, { take: true });
    return this.session.toggle();
  }

  // -- the content

  #forgetContent() {
    this.places = []; // {area, playhead, region} of every time axis
    this.canvases = []; // {canvas, draw}
    this.frames.clear();
    this.handles = []; // {handle, end} of the loop
  }

  // Forget elements whose part of the content has been replaced.
  forgetReplaced() {
    this.places = this.places.filter(({ area }) => area.isConnected);
    this.canvases = this.canvases.filter(({ canvas }) => canvas.isConnected);
    this.handles = this.handles.filter(({ handle }) => handle.isConnected);
  }

  // Rebuild the content when the methods or rows that it shows change, otherwise only update it.
  #build() {
    if (!this.manifest || this.session.isGone) return;
    const isShown = ({ id }) => this.viewName !== "stems" || id === "song" || id === this.method;
    const groups = this.manifest.groups.filter(isShown).map(({ id, title, scores, working, tracks }) => {
      return [id, title, !!scores, working, tracks.map((track) => [track.name, track.picture])];
    });
    const { tempo, key } = this.manifest;
    const shape = JSON.stringify([groups, tempo, key, this.viewName === "compare" ? "" : this.method]);
    if (shape !== this.shape) {
      this.shape = shape;
      const focused = document.activeElement?.closest?.("stem-player") === this ? document.activeElement.id : "";
      this.#forgetContent();
      this.replaceChildren(...this.view.build());
      if (focused) (this.querySelector(`#${CSS.escape(focused)}`) ?? this).focus();
    }
    this.show();
  }

  elementId(id) {
    return `${this.viewName}-${id}`.replace(/[^\w-]/g, "-");
  }

  get inkColour() {
    return getComputedStyle(this).getPropertyValue("--player-ink").trim();
  }

  // Redraw all canvases in the next animation frames.
  draw() {
    if (this.manifest && this.offsetParent) this.frames.add(this.canvases); // resizing draws what is hidden now
  }

  // Update everything that depends on the state of the playback, of the mix and of the zoom.
  show() {
    if (!this.manifest || !this.shape || this.session.isGone) return;
    this.classList.toggle("waiting", this.session.isActive && !this.engine.playing);
    this.view.update();
    dock.update(this);
    this.#showConnection();
    this.#showLoop();
    this.draw();
    this.#movePlayheads();
  }

  // Move the playheads with each frame until playback pauses.
  #animate() {
    this.isAnimated = !this.removed && this.engine.playing;
    if (!this.isAnimated) return;
    if (this.isOnScreen && this.manifest) {
      if (this.isZoomable) this.session.followPlayhead();
      this.#movePlayheads();
    }
    requestAnimationFrame(() => this.#animate());
  }

  #movePlayheads() {
    const place = this.viewport.place(this.seconds / this.duration);
    for (const { playhead } of this.places) {
      playhead.hidden = place < 0 || place > 1;
      playhead.style.left = `${100 * place}%`;
    }
  }

  #showConnection() {
    this.offline ??= make("p", { class: "gone", role: "status" }, word("no_connection"));
    if (!this.engine.loader.isOffline) this.offline.remove();
    else if (this.firstChild !== this.offline) this.prepend(this.offline);
  }

  #showLoop() {
    const { viewport, loopSeconds: loop, duration } = this;
    const from = loop && Math.max(0, viewport.place(loop.from / duration));
    const to = loop && Math.min(1, viewport.place(loop.to / duration));
    for (const { region } of this.places) {
      if (!region) continue;
      region.hidden = !loop || to <= from;
      if (!region.hidden) Object.assign(region.style, { left: `${100 * from}%`, width: `${100 * (to - from)}%` });
    }
    showLoopHandles(this);
  }
}

// What the views use of the session, as if it were the player's own.
const SHARED = [
  "manifest", "groups", "methods", "method", "group", "names", "track", "trackId", "methodTitle", "choose", "engine",
  "gains", "link", "base", "soloOnly", "seconds", "duration", "seek", "loopSeconds", "setLoop", "peaks",
];
for (const name of SHARED) {
  Object.defineProperty(StemPlayer.prototype, name, {
    get() {
      const value = this.session[name];
      return typeof value === "function" ? value.bind(this.session) : value;
    },
    set(value) {
      this.session[name] = value;
    },
  });
}

if (!customElements.get("stem-player")) customElements.define("stem-player", StemPlayer);
