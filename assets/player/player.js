// The element <stem-player manifest="..." view="stems|compare|blind">: rows, pictures, keys.

const WORDS = window.stemscopeWords ?? {};

function word(key, values = {}) {
  const language = (navigator.language || "en").slice(0, 2);
  const text = WORDS[language]?.[key] ?? WORDS.en?.[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// What programs call a "stem" or a "method", in the reader's language; people may call theirs anything.
function named(kind, name, otherwise) {
  const text = word(`${kind}_${name}`);
  return text === `${kind}_${name}` ? otherwise : text;
}

// A node: make("button", {class: "x", onclick: f, "aria-label": "..."}, child, "text").
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// Ask one of the studio's endpoints, as any program could.
async function ask(endpoint, ...data) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ data }) };
  const answer = await fetch(`gradio_api/call/${endpoint}`, post);
  if (!answer.ok) throw new Error(`${answer.status}`);
  const { event_id: id } = await answer.json();
  const events = await (await fetch(`gradio_api/call/${endpoint}/${id}`)).text();
  const end = events.split("\n\n").findLast((event) => /^event: (complete|error)/.test(event)) ?? "";
  const content = /^data: (.*)$/m.exec(end)?.[1];
  if (!end.startsWith("event: complete")) throw new Error(JSON.parse(content ?? "null")?.error ?? word("failed"));
  return JSON.parse(content)[0];
}

const KNOWN_ORDER = ["vocals", "drums", "bass", "other"];
const players = new Set();

class StemPlayer extends HTMLElement {
  static observedAttributes = ["manifest"];

  // The page puts another result into the element that is there, and takes its content away:
  // a new element begins anew when all attributes have come.
  attributeChangedCallback(name, before) {
    if (before !== null) setTimeout(() => this.isConnected && this.replaceWith(this.cloneNode(false)));
  }

  connectedCallback() {
    if (this.engine) return;
    this.view = this.getAttribute("view") ?? "stems";
    this.url = this.getAttribute("manifest");
    this.base = this.url.replace(/[^/]*$/, "");
    this.engine = new Engine();
    this.engine.addEventListener("change", () => this.#show());
    this.rows = new Map(); // name -> {muted, solo, volume}
    this.method = null;
    this.row = null; // the one that keys speak of
    this.metric = "SDR";
    this.peaks = new Map();
    this.playheads = [];
    players.add(this);
    this.classList.add("stem-player");
    this.tabIndex = 0;
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", word("player"));
    this.onKey = (event) => this.#key(event);
    document.addEventListener("keydown", this.onKey);
    this.resized = new ResizeObserver(() => this.#draw());
    this.resized.observe(this);
    this.dark = new MutationObserver(() => this.#draw());
    this.dark.observe(document.body, { attributeFilter: ["class"] });
    this.#poll();
    this.#follow();
  }

  disconnectedCallback() {
    // An element that is only moved is connected again at once.
    setTimeout(() => {
      if (this.isConnected) return;
      players.delete(this);
      document.removeEventListener("keydown", this.onKey);
      this.resized.disconnect();
      this.dark.disconnect();
      this.engine.close();
      this.gone = true;
    });
  }

  // -- the document

  async #poll() {
    while (!this.gone) {
      try {
        const answer = await fetch(this.url, { cache: "no-store" });
        if (!answer.ok) throw new Error(`${answer.status}`);
        const text = await answer.text();
        if (text !== this.text) {
          this.text = text;
          this.#take(JSON.parse(text));
        }
        if (!this.manifest.working) return;
      } catch {
        if (this.manifest && !this.manifest.working) return;
        if ((this.misses = (this.misses ?? 0) + 1) > 20) {
          this.replaceChildren(make("p", { class: "gone", role: "status" }, word("gone")));
          return;
        }
      }
      const heard = this.manifest && this.methods.some((id) => id !== "references");
      await new Promise((resolve) => setTimeout(resolve, heard ? 1000 : 250)); // the first stem is waited for
    }
  }

  #take(manifest) {
    this.manifest = manifest;
    this.groups = new Map(manifest.groups.map((group) => [group.id, group]));
    this.engine.load(manifest, this.base);
    const methods = this.methods.filter((id) => this.groups.get(id).tracks.length);
    const found = methods.find((id) => id !== "references") ?? methods[0] ?? null;
    if (!methods.includes(this.method) || (this.method === "references" && !this.chosen)) this.method = found;
    if (this.view === "stems") history.replaceState(null, "", this.link);
    this.#build();
    this.#mix();
  }

  get link() {
    const url = new URL(window.location.href);
    url.searchParams.set("result", this.getAttribute("token"));
    return url;
  }

  // What can be switched between: everything but the song itself.
  get methods() {
    return this.manifest.groups.map((group) => group.id).filter((id) => id !== "song");
  }

  // Rows of the method that is heard: its stems, then what it leaves, then the song.
  get names() {
    const stems = (this.groups.get(this.method)?.tracks ?? []).map((track) => track.name);
    const place = (name) => (KNOWN_ORDER.includes(name) ? KNOWN_ORDER.indexOf(name) : name === "residual" ? 99 : 50);
    return [...stems.sort((one, other) => place(one) - place(other)), "mixture"];
  }

  #track(name, method = this.method) {
    const group = name === "mixture" ? this.groups.get("song") : this.groups.get(method);
    return group?.tracks.find((track) => track.name === name);
  }

  #id(name, method = this.method) {
    return name === "mixture" ? "song/mixture" : `${method}/${name}`;
  }

  #state(name) {
    if (!this.rows.has(name)) {
      this.rows.set(name, { muted: name === "mixture" || name === "residual", solo: false, volume: 1 });
    }
    return this.rows.get(name);
  }

  // -- what is heard

  #mix() {
    if (!this.manifest || this.view === "blind") return;
    const names = this.names;
    // A solo for a stem that this method does not give counts for nothing.
    const solos = names.filter((name) => this.#state(name).solo);
    const gains = {};
    for (const name of names) {
      const { muted, volume } = this.#state(name);
      const heard = solos.length ? solos.includes(name) : !muted;
      if (heard) gains[this.#id(name)] = volume;
    }
    this.engine.mix(gains);
    this.#show();
  }

  // The gains of the stems as they are now, for the custom mix.
  get gains() {
    const names = this.names;
    const solos = names.filter((name) => this.#state(name).solo);
    return Object.fromEntries(
      names
        .filter((name) => (solos.length ? solos.includes(name) : !this.#state(name).muted))
        .map((name) => [name, this.#state(name).volume]),
    );
  }

  async toggle() {
    if (this.engine.playing || this.engine.wanted) return this.engine.pause();
    for (const other of players) if (other !== this) other.engine?.pause();
    return this.engine.play();
  }

  choose(method) {
    if (!this.groups.get(method)?.tracks.length) return;
    this.method = method;
    this.chosen = true;
    this.#build();
    this.#mix();
  }

  solo(name, { add = false } = {}) {
    const state = this.#state(name);
    const only = state.solo && this.names.filter((other) => this.#state(other).solo).length === 1;
    if (add) state.solo = !state.solo;
    else {
      for (const other of this.rows.values()) other.solo = false;
      state.solo = !only;
    }
    this.row = name;
    this.#mix();
  }

  mute(name) {
    this.#state(name).muted = !this.#state(name).muted;
    this.row = name;
    this.#mix();
  }

  // Everything but this one: pressed again, everything.
  without(name) {
    const stems = this.names.filter((other) => other !== "mixture" && other !== "residual");
    const already = stems.every((other) => this.#state(other).muted === (other === name));
    for (const state of this.rows.values()) state.solo = false;
    for (const other of stems) this.#state(other).muted = !already && other === name;
    this.row = name;
    this.#mix();
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

  // -- the page

  // Built again when the methods or rows change; otherwise only what is shown in it.
  #build() {
    const shape = JSON.stringify([
      this.view,
      this.manifest.groups.map((group) => [group.id, group.title, !!group.scores, group.tracks.map((t) => [t.name, t.picture])]),
      this.view === "compare" ? "" : this.method,
    ]);
    if (shape !== this.shape) {
      this.shape = shape;
      const held = document.activeElement?.closest?.("stem-player") === this ? document.activeElement.id : "";
      this.playheads = [];
      this.canvases = [];
      const parts = { stems: () => this.#stems(), compare: () => this.#compare(), blind: () => this.#blind() };
      this.replaceChildren(make("h2", { class: "song" }, this.manifest.name), this.#transport(), ...parts[this.view]());
      if (held) this.querySelector(`#${CSS.escape(held)}`)?.focus();
    }
    this.#loadPeaks();
    this.#draw();
    this.#show();
  }

  #name(id) {
    return `${this.view}-${id}`.replace(/[^\w-]/g, "-");
  }

  #transport() {
    this.playButton = make("button", { class: "play", id: this.#name("play"), onclick: () => this.toggle() });
    this.clock = make("span", { class: "clock", role: "timer", "aria-live": "off" });
    this.loopButton = make(
      "button",
      { id: this.#name("loop"), title: word("loop_hint"), onclick: () => this.#toggleLoop() },
      word("loop"),
    );
    const volume = make("input", {
      type: "range", min: 0, max: 1.5, step: 0.01, value: this.engine.volume, "aria-label": word("volume"),
      oninput: (event) => this.engine.setVolume(Number(event.target.value)),
    });
    const parts = [
      make("div", { class: "left" }, this.playButton, this.clock, this.loopButton),
      this.view === "blind" ? null : this.#methodSwitch(),
      make("label", { class: "volume" }, word("volume"), volume),
    ];
    if (this.view === "stems") {
      const lossless = make("input", {
        type: "checkbox", id: this.#name("lossless"), checked: this.engine.lossless,
        onchange: (event) => this.engine.setLossless(event.target.checked),
      });
      parts.push(make("label", { class: "lossless", title: word("lossless_hint") }, lossless, word("lossless")));
    }
    return make("div", { class: "transport" }, ...parts);
  }

  #methodSwitch() {
    this.methodButtons = this.methods.map((id) =>
      make(
        "button",
        { role: "radio", id: this.#name(`method-${id}`), "data-method": id, onclick: () => this.choose(id) },
        this.#title(id),
      ),
    );
    return make("div", { class: "methods", role: "radiogroup", "aria-label": word("methods") }, ...this.methodButtons);
  }

  #stems() {
    const ruler = this.#ruler();
    const lanes = this.names.map((name, index) => this.#lane(name, index));
    const keys = make("p", { class: "keys" }, word("keys"));
    return [
      make("div", { class: "row head" }, make("div", { class: "controls" }), this.#seekable(ruler, { ruler: true })),
      ...lanes,
      this.#details(),
      keys,
    ];
  }

  #lane(name, index) {
    const label = this.#label(name);
    const button = (what, text, title, action) =>
      make("button", { class: what, id: this.#name(`${what}-${name}`), title, "aria-label": `${title}: ${label}`, onclick: action }, text);
    const state = this.#state(name);
    const volume = make("input", {
      type: "range", min: 0, max: 2, step: 0.01, value: state.volume, "aria-label": `${word("volume")}: ${label}`,
      oninput: (event) => {
        state.volume = Number(event.target.value);
        this.#mix();
      },
    });
    const isStem = name !== "mixture" && name !== "residual";
    const controls = make(
      "div",
      { class: "controls" },
      make("div", { class: "name", title: label }, make("kbd", {}, index < 9 ? String(index + 1) : ""), make("span", {}, label), this.#score(name)),
      make(
        "span",
        { class: "buttons" },
        button("mute", "M", word("mute"), () => this.mute(name)),
        button("solo", "S", word("solo"), (event) => this.solo(name, { add: event.shiftKey || event.ctrlKey || event.metaKey })),
        isStem ? button("without", "−1", word("without"), () => this.without(name)) : null,
      ),
      volume,
    );
    const wave = this.#canvas("wave", (canvas) => {
      const heard = this.engine.tracks.get(this.#id(name))?.target > 0;
      const peaks = this.peaks.get(this.#id(name))?.samples;
      drawWaveform(canvas, peaks, { colour: colourOf(this, name, index), edge: this.#edge(), dimmed: !heard });
    });
    const track = this.#track(name);
    const pictures = [wave];
    if (track?.picture) pictures.push(this.#picture(this.base + track.picture, `${word("spectrogram")}: ${label}`));
    const lane = make("div", { class: "row lane", "data-row": name, style: `--lane:${colourOf(this, name, index)}` }, controls, this.#seekable(make("div", {}, ...pictures)));
    lane.addEventListener("pointerdown", () => (this.row = name));
    return lane;
  }

  // Beside the stem that it is the score of.
  #score(name) {
    const sdr = this.groups.get(this.method)?.scores?.targets[name]?.SDR;
    return typeof sdr === "number" ? make("small", {}, `SDR ${sdr.toFixed(1)} dB`) : null;
  }

  #label(name) {
    const number = /^component (\d+)$/.exec(name)?.[1];
    return number ? word("component", { number }) : named("stem", name, name);
  }

  #title(method) {
    return named("method", method, this.groups.get(method).title);
  }

  #picture(url, alt) {
    const marks = [100, 1000, 10000].filter((hertz) => hertz < 0.9 * this.manifest.highest);
    const { lowest, highest } = this.manifest;
    const low = Math.min(lowest, highest / 4);
    const scale = marks.map((hertz) =>
      make(
        "span",
        { style: `bottom:${(100 * Math.log(hertz / low)) / Math.log(highest / low)}%` },
        hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`,
      ),
    );
    return make("div", { class: "spectrogram" }, make("img", { src: url, alt, draggable: "false" }), ...scale);
  }

  // Click to go there, drag along the ruler to loop.
  #seekable(content, { ruler = false, listen = null } = {}) {
    const head = make("i", { class: "playhead", "aria-hidden": "true" });
    this.playheads.push(head);
    const place = make("div", { class: `place${ruler ? " ruler" : ""}` }, content, head);
    const timeAt = (event) => {
      const box = place.getBoundingClientRect();
      return (Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * this.duration);
    };
    place.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      const from = timeAt(event);
      const move = (later) => {
        const to = timeAt(later);
        if (ruler && Math.abs(to - from) > 0.02 * this.duration) this.#setLoop(Math.min(from, to), Math.max(from, to));
      };
      const up = (later) => {
        window.removeEventListener("pointermove", move);
        window.removeEventListener("pointerup", up);
        if (!ruler || Math.abs(timeAt(later) - from) <= 0.02 * this.duration) {
          listen?.();
          this.seek(from);
        }
      };
      window.addEventListener("pointermove", move);
      window.addEventListener("pointerup", up);
    });
    return place;
  }

  #canvas(kind, draw) {
    const canvas = make("canvas", { class: kind, "aria-hidden": "true" });
    this.canvases.push({ canvas, draw });
    return canvas;
  }

  #ruler() {
    return this.#canvas("ruler", (canvas) =>
      drawRuler(canvas, this.duration, { ink: this.#ink(), loop: this.#loopSeconds() }),
    );
  }

  #details() {
    const group = this.groups.get(this.method);
    const details = group?.details ?? {};
    const facts = [];
    if (details.model) facts.push(details.model);
    if (details.residual_db !== undefined) {
      facts.push(details.residual_db === null ? word("no_residual") : word("residual_db", { db: details.residual_db.toFixed(1) }));
    }
    if (details.seconds !== undefined) {
      facts.push(word("took", { s: details.seconds.toFixed(1), rtf: details.real_time_factor.toFixed(2), device: details.device }));
    }
    if (details.gain_db) facts.push(word("lowered", { db: (-details.gain_db).toFixed(1) }));
    const lines = (details.warnings ?? []).map((text) => make("em", {}, text));
    return make(
      "div",
      { class: "details" },
      make("p", {}, ...facts.map((fact) => make("span", {}, fact)), ...lines),
      group && !group.working ? this.#keep(details) : null,
    );
  }

  // Everything that can be kept: the mix as it is, a stem, all of them.
  #keep(details) {
    const what = make(
      "select",
      { "aria-label": word("keep_what"), id: this.#name("keep-what") },
      make("option", { value: "mix" }, word("keep_mix")),
      make("option", { value: "all" }, word("keep_all")),
      ...this.names.filter((name) => name !== "mixture").map((name) => make("option", { value: `stem:${name}` }, this.#label(name))),
    );
    const formats = { wav24: "WAV 24", wav16: "WAV 16", wav32: "WAV 32 float", flac: "FLAC", mp3: "MP3", stem: ".stem.mp4" };
    const format = make(
      "select",
      {
        "aria-label": word("keep_as"), id: this.#name("keep-as"),
        onchange: () => (what.disabled = format.value === "stem"), // that holds all stems, always
      },
      ...Object.entries(formats).map(([value, text]) => make("option", { value }, text)),
    );
    const status = make("span", { role: "status" });
    const go = async (event) => {
      event.target.disabled = true;
      status.textContent = word("working");
      try {
        const order = { what: what.value, method: this.method, gains: this.gains, format: format.value };
        const file = await ask("keep", this.getAttribute("token"), JSON.stringify(order));
        const name = decodeURIComponent(file.split("/").pop());
        const link = make("a", { href: file, download: name });
        document.body.append(link);
        link.click();
        link.remove();
        status.textContent = name;
      } catch (error) {
        status.textContent = error.message;
      }
      event.target.disabled = false;
    };
    return make(
      "div",
      { class: "keep" },
      make("button", { id: this.#name("keep"), onclick: go }, word("keep")),
      what,
      format,
      details.archive
        ? make("a", { class: "zip", href: this.base + encodeURI(details.archive), download: details.archive.split("/").pop() }, word("zip"))
        : null,
      make("a", { class: "link", href: String(this.link), onclick: (event) => this.#copyLink(event, status) }, word("link")),
      status,
    );
  }

  // Into the clipboard where the browser lets us; else it is a link like any other.
  #copyLink(event, status) {
    if (!navigator.clipboard) return;
    event.preventDefault();
    navigator.clipboard.writeText(String(this.link)).then(
      () => (status.textContent = word("copied")),
      () => window.location.assign(this.link),
    );
  }

  // -- comparing

  #compare() {
    const methods = this.methods.filter((id) => !this.groups.get(id).working);
    const names = [...new Set(methods.flatMap((id) => this.groups.get(id).tracks.map((track) => track.name)))];
    const rank = (name) => (KNOWN_ORDER.includes(name) ? KNOWN_ORDER.indexOf(name) : name === "residual" ? 99 : 50);
    names.sort((one, other) => rank(one) - rank(other));
    const table = make("div", { class: "grid", style: `--columns:${methods.length}` });
    table.append(make("div", { class: "corner" }), ...methods.map((id) => make("h3", {}, this.#title(id))));
    for (const name of names) {
      const given = methods.map((id) => this.#track(name, id));
      if (given.some(Boolean)) table.append(make("div", { class: "stub" }, this.#label(name)), ...methods.map((id, column) => this.#cell(name, id, given[column], "picture")));
      if (given.some((track) => track?.difference)) {
        const stub = make("div", { class: "stub small" }, word("difference"));
        table.append(stub, ...methods.map((id, column) => this.#cell(name, id, given[column], "difference")));
      }
    }
    const differs = methods.some((id) => this.groups.get(id).tracks.some((track) => track.difference));
    const key = differs ? [make("p", { class: "legend" }, word("difference_key"))] : [];
    return [make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": word("grid") }, table), ...key, ...this.#scoreChart()];
  }

  #cell(name, method, track, kind) {
    if (!track?.[kind]) return make("div", { class: `cell empty ${kind}` }, kind === "difference" ? "" : track ? "…" : "–");
    const title = `${this.#label(name)}, ${this.#title(method)}`;
    const listen = () => {
      this.method = method;
      for (const state of this.rows.values()) state.solo = false;
      this.#state(name).solo = true;
      this.#mix();
      this.#markCells();
    };
    const picture = this.#picture(this.base + track[kind], kind === "picture" ? title : `${word("difference")}: ${title}`);
    const cell = make("div", { class: `cell ${kind}`, "data-cell": `${method}/${name}` }, this.#seekable(picture, { listen }));
    if (kind === "picture") {
      const button = make("button", { "aria-label": word("hear", { what: title }), onclick: () => (listen(), !this.engine.playing && this.toggle()) }, "▶");
      cell.append(button);
    }
    return cell;
  }

  #markCells() {
    for (const cell of this.querySelectorAll("[data-cell]")) {
      const [method, ...rest] = cell.dataset.cell.split("/");
      cell.classList.toggle("heard", this.engine.tracks.get(this.#id(rest.join("/"), method))?.target > 0);
    }
  }

  #scoreChart() {
    const scored = this.methods.filter((id) => this.groups.get(id).scores);
    if (!scored.length) return [make("p", { class: "legend" }, word("no_scores"))];
    const targets = [...new Set(scored.flatMap((id) => Object.keys(this.groups.get(id).scores.targets)))];
    if (!targets.includes(this.target)) this.target = targets[0];
    const pick = (values, current, label, action) =>
      make(
        "select",
        { "aria-label": label, onchange: (event) => (action(event.target.value), this.#draw(), this.#scoreTable()) },
        ...values.map((value) => make("option", { value, selected: value === current }, this.#label(value))),
      );
    const colours = ["--player-vocals", "--player-drums", "--player-other", "--player-bass", "--player-residual"];
    const lines = () =>
      scored.map((id, index) => ({
        id,
        colour: getComputedStyle(this).getPropertyValue(colours[index % colours.length]).trim(),
        dash: [[], [6, 3], [2, 2], [8, 3, 2, 3]][index % 4],
        chosen: id === this.method,
        points: (this.groups.get(id).scores.targets[this.target]?.frames ?? []).map((frame) => ({
          from: frame.time, to: frame.time + frame.duration, value: frame[this.metric],
        })),
      }));
    this.lines = lines;
    const chart = this.#canvas("chart", (canvas) => drawScores(canvas, lines(), this.duration, { ink: this.#ink(), unit: "dB" }));
    const wave = this.#canvas("wave", (canvas) => {
      const peaks = this.peaks.get(`references/${this.target}`)?.samples ?? this.peaks.get("song/mixture")?.samples;
      drawWaveform(canvas, peaks, { colour: colourOf(this, "mixture"), edge: this.#edge() });
    });
    const ruler = this.#ruler();
    const hear = () => {
      for (const state of this.rows.values()) state.solo = false;
      this.#state(this.target).solo = true;
      this.#mix();
      this.#markCells();
    };
    this.scoreTable = make("div", { class: "score-table" });
    const worst = make(
      "button",
      {
        id: this.#name("worst"),
        onclick: async () => {
          const points = lines().find((line) => line.id === this.method)?.points.filter((point) => point.value !== null) ?? [];
          if (!points.length) return;
          const lowest = points.reduce((one, other) => (other.value < one.value ? other : one));
          hear();
          await this.#setLoop(lowest.from, Math.min(this.duration, lowest.to));
          await this.seek(lowest.from);
          if (!this.engine.playing) this.toggle();
        },
      },
      word("worst"),
    );
    const legend = make("p", { class: "legend" }, ...lines().map((line) => make("span", { style: `--line:${line.colour}` }, make("i"), this.#title(line.id))));
    setTimeout(() => this.#scoreTable());
    return [
      make(
        "div",
        { class: "choices" },
        make("h3", {}, word("scores_over_time")),
        pick(targets, this.target, word("source"), (value) => (this.target = value)),
        pick(["SDR", "ISR", "SIR", "SAR"], this.metric, word("metric"), (value) => (this.metric = value)),
        worst,
      ),
      this.#seekable(make("div", {}, ruler, wave, chart), { listen: hear, ruler: true }),
      legend,
      this.scoreTable,
    ];
  }

  #scoreTable() {
    const scored = this.methods.filter((id) => this.groups.get(id).scores);
    const metrics = ["SDR", "ISR", "SIR", "SAR", "uSDR", "SI-SDR"];
    const cell = (value) => make("td", {}, value === null || value === undefined ? "–" : value.toFixed(2));
    const rows = scored.map((id) => {
      const scores = this.groups.get(id).scores.targets[this.target] ?? {};
      const ap = scores.masks?.average_precision;
      return make("tr", {}, make("th", { scope: "row" }, this.#title(id)), ...metrics.map((metric) => cell(scores[metric])), cell(ap));
    });
    const head = make("tr", {}, make("th", { scope: "col" }, this.#label(this.target)), ...[...metrics, word("mask_ap")].map((text) => make("th", { scope: "col" }, text)));
    const notes = scored.map((id) => [this.#title(id), this.groups.get(id).scores.notes.join("; ")]).filter(([, note]) => note);
    const lines = [word("frames_and_track"), ...notes.map((parts) => parts.join(": "))].map((text) => make("p", { class: "legend" }, text));
    const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
    this.scoreTable.replaceChildren(make("div", { class: "wide" }, table), ...lines);
  }

  // -- the blind test

  #blind() {
    const group = this.groups.get("blind");
    this.ratings ??= Object.fromEntries(group.tracks.map((track) => [track.name, null]));
    this.letter ??= group.tracks[0].name;
    this.listenTo = (letter) => {
      this.letter = letter;
      this.engine.mix({ [letter === "reference" ? "known/reference" : `blind/${letter}`]: 1 });
      this.#show();
    };
    const columns = group.tracks.map((track) => {
      const out = make("output", {}, "–");
      const slider = make("input", {
        type: "range", min: 0, max: 100, step: 1, value: 50, id: this.#name(`rate-${track.name}`), "aria-label": word("rate", { letter: track.name }),
        oninput: (event) => {
          this.ratings[track.name] = Number(event.target.value);
          out.textContent = event.target.value;
          this.#show();
        },
      });
      const button = make("button", { "data-letter": track.name, id: this.#name(`hear-${track.name}`), "aria-label": word("hear", { what: track.name }), onclick: () => this.listenTo(track.name) }, track.name);
      return make("div", { class: "stimulus" }, button, make("div", { class: "rail" }, slider), out);
    });
    const reference = this.groups.has("known") ? make("button", { "data-letter": "reference", id: this.#name("hear-reference"), onclick: () => this.listenTo("reference") }, word("reference")) : null;
    this.reveal = make("button", { class: "reveal", id: this.#name("reveal"), onclick: () => this.#reveal() }, word("reveal"));
    this.revealed = make("div", { class: "revealed", role: "status" });
    const bands = word("scale").split(", ").map((band) => make("span", {}, band));
    const known = make("div", { class: "known" }, reference, make("div", { class: "scale" }, ...bands));
    const ruler = this.#ruler();
    const wave = this.#canvas("wave", (canvas) => {
      const peaks = this.peaks.get("song/mixture")?.samples;
      drawWaveform(canvas, peaks, { colour: colourOf(this, "mixture"), edge: this.#edge() });
    });
    setTimeout(() => this.listenTo(this.letter));
    return [
      this.#seekable(make("div", {}, ruler, wave), { ruler: true }),
      make("div", { class: "stimuli", style: `--columns:${columns.length}` }, known, ...columns),
      this.reveal,
      this.revealed,
    ];
  }

  async #reveal() {
    try {
      const answer = await ask("reveal", this.getAttribute("token"), JSON.stringify(this.ratings));
      const number = (value) => make("td", {}, typeof value === "number" ? value.toFixed(2) : "–");
      const rows = answer.rows.map((row) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, row.letter),
          make("td", { class: "text" }, row.method === "song" ? this.#label("mixture") : named("method", row.method, row.title)),
          make("td", { class: "bar", style: `--share:${row.rating ?? 0}%` }, row.rating ?? "–"),
          ...[row.SDR, row.ISR, row.SIR, row.SAR].map(number),
        ),
      );
      const head = ["", word("method"), word("rating"), "SDR", "ISR", "SIR", "SAR"].map((text) => make("th", { scope: "col", class: text === word("method") ? "text" : null }, text));
      this.revealed.replaceChildren(
        make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)),
        make("a", { href: answer.csv, download: "ratings.csv", class: "csv" }, word("csv")),
      );
      this.reveal.disabled = true;
    } catch (error) {
      this.revealed.textContent = error.message;
    }
  }

  // -- keeping the page true

  #ink() {
    return getComputedStyle(this).getPropertyValue("--player-ink").trim();
  }

  // The song's highest peak is the edge of all waveforms: they can be compared.
  #edge() {
    const peaks = this.peaks.get("song/mixture")?.samples ?? [...this.peaks.values()][0]?.samples;
    if (!peaks) return 1;
    if (this.edgeOf !== peaks) {
      this.edgeOf = peaks;
      this.edge = peaks.reduce((most, value) => Math.max(most, Math.abs(value)), 0.01);
    }
    return this.edge;
  }

  #loadPeaks() {
    for (const group of this.manifest.groups) {
      for (const track of group.tracks) {
        const id = `${group.id}/${track.name}`;
        const known = this.peaks.get(id);
        if (known?.ready === track.ready) continue;
        this.peaks.set(id, { ready: track.ready, samples: known?.samples });
        fetch(`${this.base}${track.peaks}?v=${track.ready}`)
          .then((answer) => answer.arrayBuffer())
          .then((bytes) => {
            this.peaks.get(id).samples = samplesOf(bytes);
            this.#draw();
          })
          .catch(() => this.peaks.delete(id));
      }
    }
  }

  #draw() {
    if (!this.manifest || this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = null;
      for (const { canvas, draw } of this.canvases ?? []) draw(canvas);
    });
  }

  #show() {
    if (!this.playButton || !this.manifest) return;
    const going = this.engine.playing || this.engine.wanted;
    this.playButton.textContent = going ? "❚❚" : "▶";
    this.playButton.setAttribute("aria-label", word(going ? "pause" : "play"));
    this.classList.toggle("waiting", this.engine.wanted && !this.engine.playing);
    this.loopButton.setAttribute("aria-pressed", String(!!this.engine.loop));
    for (const button of this.methodButtons ?? []) {
      const group = this.groups.get(button.dataset.method);
      button.setAttribute("aria-checked", String(button.dataset.method === this.method));
      button.disabled = !group?.tracks.length;
      button.classList.toggle("working", !!group?.working);
    }
    for (const lane of this.querySelectorAll(".lane")) {
      const state = this.#state(lane.dataset.row);
      lane.querySelector(".mute").setAttribute("aria-pressed", String(state.muted));
      lane.querySelector(".solo").setAttribute("aria-pressed", String(state.solo));
      lane.classList.toggle("silent", !(this.engine.tracks.get(this.#id(lane.dataset.row))?.target > 0));
    }
    for (const button of this.querySelectorAll("[data-letter]")) {
      button.setAttribute("aria-pressed", String(button.dataset.letter === this.letter));
    }
    if (this.view === "compare") this.#markCells();
    this.#draw();
    this.#movePlayheads();
  }

  #follow() {
    const step = () => {
      if (this.gone) return;
      if (this.engine.playing) this.#movePlayheads();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  #movePlayheads() {
    if (!this.manifest) return;
    const share = this.engine.position / this.manifest.frames;
    for (const head of this.playheads) head.style.left = `${100 * share}%`;
    this.clock.textContent = `${clock(this.seconds)} / ${clock(this.duration)}`;
  }

  #loopSeconds() {
    const { loop } = this.engine;
    return loop && { from: loop.from / this.manifest.rate, to: loop.to / this.manifest.rate };
  }

  #setLoop(from, to) {
    const rate = this.manifest.rate;
    return this.engine.setLoop({ from: Math.round(from * rate), to: Math.round(to * rate) });
  }

  // Without a region: four seconds from here.
  #toggleLoop() {
    if (this.engine.loop) return this.engine.setLoop(null);
    const from = Math.min(this.seconds, Math.max(0, this.duration - 4));
    return this.#setLoop(from, Math.min(this.duration, from + 4));
  }

  // What a digit chooses: a stem, or in the blind test a sound.
  #numbered(index, add) {
    if (this.view === "blind") {
      const letter = this.groups.get("blind").tracks[index]?.name;
      return letter && (() => this.listenTo(letter));
    }
    const name = this.view === "stems" ? this.names[index] : null;
    return name && (() => this.solo(name, { add }));
  }

  #key(event) {
    if (!this.offsetParent || !this.manifest || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.closest?.("input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]")) return;
    const inside = target.closest?.("stem-player") === this;
    if (!inside && target !== document.body) return;
    if (target.type === "range" && event.key.startsWith("Arrow")) return;
    if (event.key === " " && target.tagName === "BUTTON") return;
    const names = this.view === "stems" ? this.names : [];
    const methods = this.view === "blind" ? [] : this.methods;
    const row = names.includes(this.row) ? this.row : names[0];
    const turn = (step) => this.choose(methods[Math.max(0, Math.min(methods.length - 1, methods.indexOf(this.method) + step))]);
    const louder = (step) => {
      const state = this.#state(row);
      state.volume = Math.max(0, Math.min(2, state.volume + step));
      const lane = [...this.querySelectorAll(".lane")].find((one) => one.dataset.row === row);
      if (lane) lane.querySelector("input").value = state.volume;
      this.#mix();
    };
    const actions = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.seek(this.seconds - (event.shiftKey ? 1 : 5)),
      ArrowRight: () => this.seek(this.seconds + (event.shiftKey ? 1 : 5)),
      ArrowUp: row && (() => louder(0.1)),
      ArrowDown: row && (() => louder(-0.1)),
      m: row && (() => this.mute(row)),
      s: row && (() => this.solo(row, { add: event.shiftKey })),
      x: row && (() => this.without(row)),
      a: methods.length && (() => turn(-1)),
      b: methods.length && (() => turn(1)),
      l: () => this.#toggleLoop(),
    };
    const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
    const action = digit ? this.#numbered(digit - 1, event.shiftKey) : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

if (!customElements.get("stem-player")) customElements.define("stem-player", StemPlayer);
