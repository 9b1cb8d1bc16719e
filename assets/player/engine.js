// Plays the tracks in sync: one Web Audio clock and one gain node per track.
//
// All times on the clock are whole numbers of samples, so that tracks that start together stay aligned.
// Switching methods only changes gains, because all tracks play all the time. At another speed or pitch the tracks
// come from one time-stretcher, which keeps them in step.

import { fadeGain, rampGain } from "./gains.js";
import { Passes } from "./passes.js";
import { PieceLoader } from "./pieces.js";
import { SourceNodes } from "./source_nodes.js";
import { StretchNodes } from "./stretch_nodes.js";

const AHEAD = 1.2; // seconds scheduled in advance
const DELAY = 0.06; // seconds from a request to the start of playback
const MARGIN = 0.1; // seconds of the song around the position that the time-stretcher needs
const BLOCK = 128; // samples that the audio thread computes at a time

export class Engine extends EventTarget {
  constructor() {
    super();
    this.tracks = new Map(); // id -> {id, info, gain, target, pieces, header}
    this.context = null;
    this.passes = new Passes(); // what is scheduled
    this.playing = false;
    this.wanted = false; // play as soon as the audible pieces are loaded
    this.rest = 0; // position while nothing plays, in samples
    this.loop = null; // {from, to} in samples
    this.volume = 1;
    this.speed = 1; // samples of the song per sample of the clock
    this.semitones = 0; // transposition
    this.stretching = false; // whether the time-stretcher plays
    this.loader = new PieceLoader({
      onLoaded: () => this.#tick(),
      onMissing: () => this.dispatchEvent(new Event("missing")),
      onConnection: () => this.#notify(),
    });
  }

  // Load or update the manifest; called again while the separation continues.
  load(manifest, base) {
    this.rate = manifest.rate;
    this.chunk = manifest.chunk;
    this.frames = manifest.frames;
    this.loader.configure(manifest, base);
    const ids = new Set();
    for (const group of manifest.groups) {
      for (const track of group.tracks) {
        const id = `${group.id}/${track.name}`;
        ids.add(id);
        const info = { ...track, wavGain: group.wavGain, done: !group.working };
        if (this.tracks.has(id)) this.tracks.get(id).info = info;
        else this.tracks.set(id, { id, info, gain: null, target: 0, pieces: new Map() });
        if (this.context) this.#connect(this.tracks.get(id));
      }
    }
    for (const [id, track] of this.tracks) {
      if (ids.has(id)) continue;
      track.gain?.disconnect(this.master); // a meter removes its own connection
      this.stretch?.remove(id);
      this.tracks.delete(id);
    }
    this.#tick();
    this.#notify();
  }

  // The audible position in samples: what the loudspeakers play now.
  get position() {
    return (this.playing ? this.passes.positionAt(this.#now() - this.#latency()) : null) ?? this.rest;
  }

  // Set the gains of the audible tracks, {id: gain}, and mute all others.
  mix(gains) {
    for (const [id, track] of this.tracks) {
      const gain = gains[id] ?? 0;
      if (track.target === gain) continue;
      track.target = gain;
      if (track.gain) rampGain(this.context, track.gain.gain, gain);
    }
  }

  isAudible(id) {
    return this.tracks.get(id)?.target > 0;
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.context) rampGain(this.context, this.level.gain, volume);
  }

  async play() {
    this.wanted = true;
    this.#open();
    this.context.resume(); // browsers refuse this before the first click
    if (this.loop && (this.rest < this.loop.from || this.rest >= this.loop.to)) this.rest = this.loop.from;
    if (this.rest >= this.frames) this.rest = 0;
    this.rest = Math.round(this.rest);
    this.#notify();
    const from = this.rest;
    if (from >= this.#end()) return this.#waitForMore();
    await Promise.all([this.#fetchAudible(from), this.isStretched && this.#openStretch()]);
    if (!this.wanted || this.playing || from !== this.rest) return;
    this.playing = true;
    this.stretching = this.isStretched;
    const when = this.#soon();
    this.#addPass(when, from, this.#passEnd(from));
    fadeGain(this.context, this.master.gain, 1, when / this.rate);
    this.#tick();
    this.timer = setInterval(() => this.#tick(), 100);
    this.#notify();
  }

  pause() {
    this.wanted = false;
    if (this.playing) {
      this.rest = Math.min(this.position, this.#end());
      this.#stop();
    }
    this.#notify();
  }

  // Jump to a position in samples. Playback continues there as soon as the audio is available.
  async seek(position) {
    const resume = this.playing || this.wanted;
    if (this.playing) this.#stop();
    this.rest = Math.round(Math.max(0, Math.min(this.frames - 1, position)));
    this.#notify();
    if (resume) await this.play();
  }

  // Repeat {from, to} in samples; null, or less than 50 ms, turns the loop off.
  async setLoop(region) {
    this.loop = this.#isLoop(region) ? region : null;
    if (this.playing) await this.seek(this.position);
    else this.#notify();
  }

  // Whether speed or pitch differ from the song's.
  get isStretched() {
    return this.speed !== 1 || this.semitones !== 0;
  }

  // Set the speed, 0.5 to 1.5, without change of pitch.
  setSpeed(speed) {
    return this.#setStretch({ speed: Math.max(0.5, Math.min(1.5, Math.round(100 * speed) / 100)) });
  }

  // Transpose by -12 to 12 semitones without change of speed.
  setTransposition(semitones) {
    return this.#setStretch({ semitones: Math.max(-12, Math.min(12, Math.round(semitones))) });
  }

  // While the time-stretcher plays, it goes on without a gap.
  async #setStretch(values) {
    if (!StretchNodes.areSupported) return;
    Object.assign(this, values);
    if (this.playing && this.stretching) {
      const when = this.#soon();
      const from = this.passes.positionAt(when);
      this.passes.cancel(when);
      this.#addPass(when, from, this.#passEnd(from));
      this.#tick();
    } else if (this.playing && this.isStretched) await this.seek(this.position);
    this.#notify();
  }

  get lossless() {
    return this.loader.lossless;
  }

  // Play the WAV files instead of the compressed pieces, or the other way round.
  async setLossless(enabled) {
    this.loader.lossless = enabled;
    for (const track of this.tracks.values()) track.pieces.clear();
    await this.seek(this.position);
  }

  close() {
    this.pause();
    this.context?.close();
    this.context = this.stretch = this.opened = null;
    for (const track of this.tracks.values()) {
      track.gain = null;
      track.pieces.clear();
    }
  }

  // -- the audio graph

  #open() {
    if (this.context) return;
    this.context = new AudioContext({ sampleRate: this.rate, latencyHint: "interactive" });
    this.level = this.context.createGain(); // the user's volume
    this.level.gain.value = this.volume;
    this.master = this.context.createGain(); // fades out and in when the position jumps
    this.master.connect(this.level).connect(this.context.destination);
    this.sources = new SourceNodes(this.context, this.rate);
    for (const track of this.tracks.values()) this.#connect(track);
  }

  async #openStretch() {
    this.stretch ??= new StretchNodes(this.context, this.chunk);
    this.opened ??= this.stretch.open();
    await this.opened.catch(() => Object.assign(this, { speed: 1, semitones: 0 })); // a page that forbids worklets
  }

  #connect(track) {
    if (track.gain) return;
    track.gain = this.context.createGain();
    track.gain.gain.value = track.target;
    track.gain.connect(this.master);
  }

  #stop() {
    this.playing = false;
    clearInterval(this.timer);
    fadeGain(this.context, this.master.gain, 0, this.context.currentTime);
    (this.stretching ? this.stretch : this.sources).stop(this.#now() + 0.01 * this.rate);
    this.passes.clear();
  }

  #now() {
    return this.context.currentTime * this.rate;
  }

  // The beginning of the first block of samples that can still be scheduled.
  #soon() {
    return BLOCK * Math.ceil((this.#now() + DELAY * this.rate) / BLOCK);
  }

  #latency() {
    return (this.context.outputLatency || this.context.baseLatency || 0) * this.rate;
  }

  // -- scheduling

  #audible() {
    return [...this.tracks.values()].filter((track) => track.target > 0);
  }

  // The first sample that is not available yet in all audible tracks.
  #end() {
    return Math.min(this.frames, ...this.#audible().map((track) => track.info.ready));
  }

  #isLoop(region) {
    return !!region && region.from >= 0 && region.to <= this.frames && region.to - region.from >= this.rate / 20;
  }

  #passEnd(from) {
    return this.#isLoop(this.loop) && from < this.loop.to ? this.loop.to : this.frames;
  }

  #addPass(when, from, to) {
    const [speed, pitch] = this.stretching ? [this.speed, 2 ** (this.semitones / 12)] : [1, 1];
    const pass = { when, from, to, speed, pitch };
    if (this.stretching) this.stretch[this.passes.last ? "follow" : "begin"](pass);
    this.passes.add(pass);
  }

  // Schedule the next pieces, forget finished passes, and stop at the end of the song or of the available audio.
  #tick() {
    if (!this.playing) return this.loader.evict(this.tracks.values(), this.position); // of what a closer look fetched
    const now = this.#now();
    if (this.position >= this.#end() - 1) return this.#stopAtEnd();
    const horizon = now + AHEAD * this.rate;
    while (this.#isLoop(this.loop) && this.passes.end < horizon) this.#addPass(this.passes.end, this.loop.from, this.loop.to);
    this.passes.forget(now - this.rate);
    const needed = new Set(this.passes.list.flatMap((pass) => this.#schedule(pass, now, horizon)));
    if (this.stretching) this.stretch.keep(needed);
    if (this.#stalled()) {
      const position = this.position;
      this.#stop();
      this.rest = position;
      this.play(); // starts when the missing pieces are loaded
      return;
    }
    this.loader.evict(this.tracks.values(), this.position);
  }

  #stopAtEnd() {
    const end = this.#end();
    const finished = end >= this.frames;
    this.#stop();
    this.rest = finished ? 0 : end;
    if (finished) this.wanted = false;
    else this.#waitForMore();
    this.#notify();
  }

  // Return the numbers of the pieces.
  #schedule(pass, now, horizon) {
    const margin = this.stretching ? MARGIN * this.rate : 0;
    const start = pass.from + Math.max(0, now - pass.when) * pass.speed - margin;
    const stop = Math.min(pass.to, pass.from + (horizon - pass.when) * pass.speed) + margin;
    const numbers = [];
    for (let number = Math.max(0, Math.floor(start / this.chunk)); number * this.chunk < stop; number++) {
      numbers.push(number);
      for (const track of this.tracks.values()) this.#provide(track, number, pass);
    }
    // Fetch the next piece early.
    const next = Math.floor(Math.min(pass.to - 1, start + this.chunk) / this.chunk);
    for (const track of this.tracks.values()) this.loader.fetch(track, next);
    return numbers;
  }

  // Have a piece played in a pass, or fetch it.
  #provide(track, number, pass) {
    const piece = track.pieces.get(number);
    if (!piece?.buffer) return this.loader.fetch(track, number);
    if (this.stretching) return this.stretch.send(track, number, piece.buffer);
    pass.scheduled ??= new Set();
    const key = `${track.id}:${number}`;
    if (pass.scheduled.has(key)) return;
    pass.scheduled.add(key);
    this.sources.start(track, piece.buffer, number * this.chunk, pass);
  }

  // Return true if an audible piece of the next 100 ms is missing. Broken pieces are skipped.
  #stalled() {
    const missing = (piece) => !piece?.buffer && !piece?.broken;
    const numbers = this.#nextPieces(this.position);
    return this.#audible().some((track) => numbers.some((number) => missing(track.pieces.get(number))));
  }

  // Return the numbers of the pieces of the 100 ms after a position: two if a piece ends there.
  #nextPieces(position) {
    const seconds = this.isStretched ? 0.1 * this.speed + MARGIN : 0.1;
    const last = Math.min(position + seconds * this.rate, this.#end() - 1, this.#passEnd(position) - 1);
    return [...new Set([position, last].map((sample) => Math.floor(sample / this.chunk)))];
  }

  async #fetchAudible(position) {
    const fetchNext = (track) => this.#nextPieces(position).map((number) => this.loader.fetch(track, number));
    await Promise.all(this.#audible().flatMap(fetchNext));
    [...this.tracks.values()].forEach(fetchNext);
  }

  // Poll until half a second more is separated, then play.
  #waitForMore() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      if (!this.wanted || this.playing) return;
      if (this.#end() > this.rest + this.rate / 2 || this.#end() >= this.frames) this.play();
      else this.#waitForMore();
    }, 300);
  }

  #notify() {
    this.dispatchEvent(new Event("change"));
  }
}
