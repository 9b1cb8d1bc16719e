// Plays the tracks in sync: one Web Audio clock and one gain node per track.
//
// All times on the clock are whole numbers of samples, so that tracks that start together stay aligned.
// Switching methods only changes gains, because all tracks play all the time.

import { PieceLoader } from "./pieces.js";

const RAMP = 0.012; // seconds of a gain change: long enough for no click, too short to be heard as a fade
const AHEAD = 1.2; // seconds scheduled in advance
const NOTICE = 0.03; // seconds that the audio thread needs between the scheduling and the start of a source

export class Engine extends EventTarget {
  constructor() {
    super();
    this.tracks = new Map(); // id -> {id, info, gain, target, pieces, header}
    this.context = null;
    this.passes = []; // what is scheduled: {when, from, to}, in samples of the clock and of the song
    this.sources = new Set();
    this.playing = false;
    this.wanted = false; // play as soon as the audible pieces are loaded
    this.rest = 0; // position while nothing plays, in samples
    this.loop = null; // {from, to} in samples
    this.volume = 1;
    this.loader = new PieceLoader(() => this.#tick());
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
      track.gain?.disconnect();
      this.tracks.delete(id);
    }
    this.#tick();
    this.#notify();
  }

  // The audible position in samples: what the loudspeakers play now.
  get position() {
    if (!this.playing) return this.rest;
    const now = this.#now() - this.#latency();
    let current = this.passes[0];
    for (const pass of this.passes) if (pass.when <= now) current = pass;
    if (!current) return this.rest;
    return Math.max(current.from, Math.min(current.to, current.from + now - current.when));
  }

  // Set the gains of the audible tracks, {id: gain}, and mute all others.
  mix(gains) {
    for (const [id, track] of this.tracks) this.#ramp(track, gains[id] ?? 0);
  }

  isAudible(id) {
    return this.tracks.get(id)?.target > 0;
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.master) this.#ramp({ gain: this.level, target: null }, volume);
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
    await this.#fetchAudible(from);
    if (!this.wanted || this.playing || from !== this.rest) return;
    this.playing = true;
    const when = this.#toSamples(this.context.currentTime + 2 * NOTICE);
    this.passes = [{ when, from, to: this.#passEnd(from) }];
    this.#fade(1, when);
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
    this.loop = region && region.to - region.from >= this.rate / 20 ? region : null;
    if (this.playing) await this.seek(this.position);
    else this.#notify();
  }

  get lossless() {
    return this.loader.lossless;
  }

  // Play the WAV files instead of the compressed pieces, or the other way round.
  async setLossless(enabled) {
    this.loader.lossless = enabled;
    const resume = this.playing || this.wanted;
    const position = this.position;
    if (this.playing) this.#stop();
    for (const track of this.tracks.values()) track.pieces.clear();
    this.rest = position;
    if (resume) await this.play();
  }

  close() {
    this.pause();
    this.context?.close();
    this.context = null;
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
    for (const track of this.tracks.values()) this.#connect(track);
  }

  #connect(track) {
    if (track.gain) return;
    track.gain = this.context.createGain();
    track.gain.gain.value = track.target;
    track.gain.connect(this.master);
  }

  #ramp(track, value) {
    if (track.target === value) return;
    track.target = value;
    if (!track.gain) return;
    const gain = track.gain.gain;
    const now = this.context.currentTime;
    if (gain.cancelAndHoldAtTime) gain.cancelAndHoldAtTime(now);
    else {
      gain.cancelScheduledValues(now);
      gain.setValueAtTime(gain.value, now);
    }
    gain.setValueAtTime(gain.value, now);
    gain.linearRampToValueAtTime(value, now + RAMP);
  }

  #fade(value, when) {
    const gain = this.master.gain;
    const now = this.context.currentTime;
    gain.cancelScheduledValues(now);
    gain.setValueAtTime(value ? 0 : gain.value, Math.max(now, when / this.rate - 0.004));
    gain.linearRampToValueAtTime(value, Math.max(now, when / this.rate) + 0.004);
  }

  #stop() {
    this.playing = false;
    clearInterval(this.timer);
    this.#fade(0, this.#now());
    const end = this.context.currentTime + 0.01;
    for (const source of this.sources) source.stop(end);
    this.sources.clear();
    this.passes = [];
  }

  #now() {
    return this.context.currentTime * this.rate;
  }

  #toSamples(seconds) {
    return Math.ceil(seconds * this.rate);
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

  #passEnd(from) {
    return this.loop && from < this.loop.to ? this.loop.to : this.frames;
  }

  // Schedule the next pieces, forget finished passes, and stop at the end of the song or of the available audio.
  #tick() {
    if (!this.playing) return;
    const now = this.#now();
    if (this.position >= this.#end() - 1) return this.#stopAtEnd();
    const horizon = now + AHEAD * this.rate;
    let last = this.passes[this.passes.length - 1];
    while (this.loop && last.when + last.to - last.from < horizon) {
      last = { when: last.when + last.to - last.from, from: this.loop.from, to: this.loop.to };
      this.passes.push(last);
    }
    while (this.passes.length > 1 && this.passes[1].when + this.rate < now) this.passes.shift();
    for (const pass of this.passes) this.#schedule(pass, now, horizon);
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

  #schedule(pass, now, horizon) {
    const start = pass.from + Math.max(0, now - pass.when);
    const stop = Math.min(pass.to, pass.from + horizon - pass.when);
    pass.scheduled ??= new Set();
    for (let number = Math.floor(start / this.chunk); number * this.chunk < stop; number++) {
      for (const track of this.tracks.values()) {
        const key = `${track.id}:${number}`;
        if (pass.scheduled.has(key)) continue;
        const piece = track.pieces.get(number);
        if (!piece?.buffer) {
          this.loader.fetch(track, number);
          continue;
        }
        pass.scheduled.add(key);
        this.#start(track, piece.buffer, number, pass);
      }
    }
    // Fetch the next piece early.
    const next = Math.floor(Math.min(pass.to - 1, start + this.chunk) / this.chunk);
    for (const track of this.tracks.values()) this.loader.fetch(track, next);
  }

  #start(track, buffer, number, pass) {
    const begin = number * this.chunk;
    let from = Math.max(begin, pass.from);
    const to = Math.min(begin + buffer.length, pass.to);
    let when = pass.when + from - pass.from;
    const earliest = this.#toSamples(this.context.currentTime + NOTICE);
    if (when < earliest) {
      from += earliest - when; // a late piece starts where the other tracks are
      when = earliest;
    }
    if (from >= to) return;
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(track.gain);
    source.start(when / this.rate, (from - begin) / this.rate, (to - from) / this.rate);
    if (this.#now() >= when) {
      source.stop(); // on a busy machine the start was scheduled too late, so it would lag behind the others
      this.#start(track, buffer, number, pass);
      return;
    }
    source.onended = () => this.sources.delete(source);
    this.sources.add(source);
  }

  // Return true if an audible piece of the next 100 ms is missing. Broken pieces are skipped.
  #stalled() {
    const missing = (piece) => !piece?.buffer && !piece?.broken;
    const numbers = this.#nextPieces(this.position);
    return this.#audible().some((track) => numbers.some((number) => missing(track.pieces.get(number))));
  }

  // Return the numbers of the pieces of the 100 ms after a position: two if a piece ends there.
  #nextPieces(position) {
    const last = Math.min(position + 0.1 * this.rate, this.#end() - 1, this.#passEnd(position) - 1);
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
