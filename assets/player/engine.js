// The sound: one Web Audio clock, one gain per track, pieces of four seconds fetched as they are needed.
//
// Every time on the context's clock is a whole number of samples, so that what starts together stays
// together. A method is switched by gains alone: all of them play all the time.

const RAMP = 0.012; // seconds from one gain to another: no click, and nobody hears it as a fade
const AHEAD = 1.2; // seconds that are scheduled in advance
const NOTICE = 0.03; // seconds that the audio thread needs to be told of a start before it
const BUDGET = 160e6; // bytes of decoded sound that are kept

class Engine extends EventTarget {
  constructor() {
    super();
    this.tracks = new Map(); // id -> {info, gain, target, pieces: Map, failed}
    this.context = null;
    this.passes = []; // what is being played: {when, from, to} on the clock and in the song, in samples
    this.sources = new Set();
    this.playing = false;
    this.wanted = false; // to play as soon as what is audible has come
    this.rest = 0; // where the playhead stands while nothing plays, in samples
    this.loop = null; // {from, to} in samples
    this.lossless = false;
    this.volume = 1;
  }

  // What the document says: may be called again as the work goes on.
  load(manifest, base) {
    this.rate = manifest.rate;
    this.chunk = manifest.chunk;
    this.margin = manifest.margin;
    this.frames = manifest.frames;
    this.base = base;
    const seen = new Set();
    for (const group of manifest.groups) {
      for (const info of group.tracks) {
        const id = `${group.id}/${info.name}`;
        seen.add(id);
        const known = this.tracks.get(id);
        const entry = { ...info, wavGain: group.wavGain, done: !group.working };
        if (known) known.info = entry;
        else this.tracks.set(id, { id, info: entry, gain: null, target: 0, pieces: new Map(), late: null });
        if (this.context) this.#connect(this.tracks.get(id));
      }
    }
    for (const [id, track] of this.tracks) {
      if (seen.has(id)) continue;
      track.gain?.disconnect();
      this.tracks.delete(id);
    }
    if (this.playing) this.#tick();
    this.#changed();
  }

  get position() {
    if (!this.playing) return this.rest;
    const now = this.#now() - this.#latency();
    let current = this.passes[0];
    for (const pass of this.passes) if (pass.when <= now) current = pass;
    if (!current) return this.rest;
    return Math.max(current.from, Math.min(current.to, current.from + now - current.when));
  }

  // Which tracks are heard and how loud: {id: gain}; all others are silent.
  mix(gains) {
    for (const [id, track] of this.tracks) this.#ramp(track, gains[id] ?? 0);
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.master) this.#ramp({ gain: this.level, target: null }, volume);
  }

  async play() {
    this.wanted = true;
    this.#open();
    this.context.resume(); // what a browser refuses before a click it does after one
    if (this.loop && (this.rest < this.loop.from || this.rest >= this.loop.to)) this.rest = this.loop.from;
    if (this.rest >= this.frames) this.rest = 0;
    this.rest = Math.round(this.rest);
    this.#changed();
    const from = this.rest;
    if (from >= this.#end()) return this.#waitForMore();
    await this.#fetchAudible(from);
    if (!this.wanted || this.playing || from !== this.rest) return;
    this.playing = true;
    const when = this.#frame(this.context.currentTime + 2 * NOTICE);
    this.passes = [{ when, from, to: this.#passEnd(from) }];
    this.#fade(1, when);
    this.#tick();
    this.timer = setInterval(() => this.#tick(), 100);
    this.#changed();
  }

  pause() {
    this.wanted = false;
    if (this.playing) {
      this.rest = Math.min(this.position, this.#end());
      this.#stop();
    }
    this.#changed();
  }

  // To a place in the song, in samples; what plays goes on from there, as soon as there is something there.
  async seek(to) {
    const going = this.playing || this.wanted;
    if (this.playing) this.#stop();
    this.rest = Math.round(Math.max(0, Math.min(this.frames - 1, to)));
    this.#changed();
    if (going) await this.play();
  }

  // Repeat from..to (samples), or nothing.
  async setLoop(region) {
    this.loop = region && region.to - region.from >= this.rate / 20 ? region : null;
    if (this.playing) await this.seek(this.position);
    else this.#changed();
  }

  async setLossless(on) {
    this.lossless = on;
    const going = this.playing || this.wanted;
    const at = this.position;
    if (this.playing) this.#stop();
    for (const track of this.tracks.values()) track.pieces.clear();
    this.rest = at;
    if (going) await this.play();
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

  // -- the graph

  #open() {
    if (this.context) return;
    this.context = new AudioContext({ sampleRate: this.rate, latencyHint: "interactive" });
    this.level = this.context.createGain(); // the listener's volume
    this.level.gain.value = this.volume;
    this.master = this.context.createGain(); // silences the joins when the playhead jumps
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

  #fade(value, at) {
    const gain = this.master.gain;
    const now = this.context.currentTime;
    gain.cancelScheduledValues(now);
    gain.setValueAtTime(value ? 0 : gain.value, Math.max(now, at / this.rate - 0.004));
    gain.linearRampToValueAtTime(value, Math.max(now, at / this.rate) + 0.004);
  }

  #stop() {
    this.playing = false;
    clearInterval(this.timer);
    this.#fade(0, this.#now());
    const end = this.context.currentTime + 0.01;
    for (const source of this.sources) source.stop(end);
    this.sources.clear();
    this.passes = [];
    for (const track of this.tracks.values()) track.late = null;
  }

  #now() {
    return this.context.currentTime * this.rate;
  }

  #frame(seconds) {
    return Math.ceil(seconds * this.rate);
  }

  #latency() {
    return (this.context.outputLatency || this.context.baseLatency || 0) * this.rate;
  }

  // -- what plays

  #end() {
    const audible = [...this.tracks.values()].filter((track) => track.target > 0);
    const ready = audible.length ? Math.min(...audible.map((track) => track.info.ready)) : this.frames;
    return Math.min(this.frames, ready);
  }

  #passEnd(from) {
    return this.loop && from < this.loop.to ? this.loop.to : this.frames;
  }

  // Schedule what is due, drop what is over, stop where the song, or what there is of it, ends.
  #tick() {
    if (!this.playing) return;
    const now = this.#now();
    if (this.position >= this.#end() - 1) {
      const over = this.#end() >= this.frames;
      this.#stop();
      this.rest = over ? 0 : this.#end();
      if (over) this.wanted = false;
      else this.#waitForMore();
      this.#changed();
      return;
    }
    const horizon = now + AHEAD * this.rate;
    let last = this.passes[this.passes.length - 1];
    while (this.loop && last.when + last.to - last.from < horizon) {
      last = { when: last.when + last.to - last.from, from: this.loop.from, to: this.loop.to };
      this.passes.push(last);
    }
    while (this.passes.length > 1 && this.passes[1].when + this.rate < now) this.passes.shift();
    for (const pass of this.passes) this.#schedule(pass, now, horizon);
    if (this.#stalled()) {
      const at = this.position;
      this.#stop();
      this.rest = at;
      this.play(); // again, when what is missing has come
      return;
    }
    this.#forget();
  }

  #schedule(pass, now, horizon) {
    const start = pass.from + Math.max(0, now - pass.when);
    const stop = Math.min(pass.to, pass.from + horizon - pass.when);
    for (let number = Math.floor(start / this.chunk); number * this.chunk < stop; number++) {
      for (const track of this.tracks.values()) {
        pass.done ??= new Set();
        const key = `${track.id}:${number}`;
        if (pass.done.has(key)) continue;
        const piece = track.pieces.get(number);
        if (!piece?.buffer) {
          this.#fetch(track, number);
          continue;
        }
        pass.done.add(key);
        this.#start(track, piece.buffer, number, pass);
      }
    }
    // What comes next is fetched in good time.
    const next = Math.floor(Math.min(pass.to - 1, start + this.chunk) / this.chunk);
    for (const track of this.tracks.values()) this.#fetch(track, next);
  }

  #start(track, buffer, number, pass) {
    const begin = number * this.chunk;
    let from = Math.max(begin, pass.from);
    const to = Math.min(begin + buffer.length, pass.to);
    let when = pass.when + from - pass.from;
    const soonest = this.#frame(this.context.currentTime + NOTICE);
    if (when < soonest) {
      from += soonest - when; // it came late: go on where the others are
      when = soonest;
    }
    if (from >= to) return;
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(track.gain);
    source.start(when / this.rate, (from - begin) / this.rate, (to - from) / this.rate);
    if (this.#now() >= when) {
      source.stop(); // on a busy machine the notice was too short: it would lag behind the others
      this.#start(track, buffer, number, pass);
      return;
    }
    source.onended = () => this.sources.delete(source);
    this.sources.add(source);
  }

  // Is something that should be heard within a tenth of a second not here?
  #stalled() {
    const missing = (piece) => !piece?.buffer && !piece?.broken;
    const soon = this.#soon(this.position);
    return [...this.tracks.values()].some(
      (track) => track.target > 0 && soon.some((number) => missing(track.pieces.get(number))),
    );
  }

  // The pieces that are heard within a tenth of a second of a place: where one ends there are two.
  #soon(place) {
    const last = Math.min(place + 0.1 * this.rate, this.#end() - 1, this.#passEnd(place) - 1);
    return [...new Set([place, last].map((sample) => Math.floor(sample / this.chunk)))];
  }

  #waitForMore() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      if (!this.wanted || this.playing) return;
      if (this.#end() > this.rest + this.rate / 2 || this.#end() >= this.frames) this.play();
      else this.#waitForMore();
    }, 300);
  }

  // -- fetching and decoding

  async #fetchAudible(from) {
    const fetched = (track) => this.#soon(from).map((number) => this.#fetch(track, number));
    await Promise.all([...this.tracks.values()].filter((track) => track.target > 0).flatMap(fetched));
    [...this.tracks.values()].forEach(fetched);
  }

  #fetch(track, number) {
    const begin = number * this.chunk;
    if (begin >= this.frames || begin >= track.info.ready) return Promise.resolve();
    const known = track.pieces.get(number);
    if (known) {
      known.used = performance.now();
      return known.promise;
    }
    const piece = { buffer: null, used: performance.now(), broken: false };
    track.pieces.set(number, piece);
    const take = this.lossless && track.info.wav && track.info.done ? this.#lossless : this.#compressed;
    piece.promise = take
      .call(this, track, number)
      .catch(() => (track.info.wav && track.info.done ? this.#lossless(track, number) : Promise.reject()))
      .then((buffer) => {
        piece.buffer = buffer;
        if (this.playing) this.#tick();
      })
      .catch(() => {
        piece.broken = true; // the song goes on without it; asked for again later
        setTimeout(() => track.pieces.get(number) === piece && track.pieces.delete(number), 2000);
      });
    return piece.promise;
  }

  async #compressed(track, number) {
    const { opus, offsets } = track.info;
    const data = await fetchRange(this.base + opus, offsets[number], offsets[number + 1]);
    return this.#cut(await this.#decoder().decodeAudioData(data), this.margin, number);
  }

  // The file that people keep, to the bit. A second more on both sides: whole seconds are whole
  // numbers of samples at every rate, and resampling to the context's rate has something to lean on.
  async #lossless(track, number) {
    const url = this.base + track.info.wav;
    track.header ??= await readWavHeader(url);
    const { rate, blockAlign, dataStart, dataEnd } = track.header;
    const seconds = this.chunk / this.rate;
    const lead = number ? 1 : 0;
    const from = dataStart + Math.round((number * seconds - lead) * rate) * blockAlign;
    const to = Math.min(dataEnd, dataStart + Math.round(((number + 1) * seconds + 1) * rate) * blockAlign);
    const samples = await fetchRange(url, from, to);
    const buffer = await this.#decoder().decodeAudioData(wavFile(track.header, samples));
    const cut = this.#cut(buffer, lead * this.rate, number);
    if (track.info.wavGain !== 1) {
      for (let channel = 0; channel < cut.numberOfChannels; channel++) {
        const data = cut.getChannelData(channel);
        for (let index = 0; index < data.length; index++) data[index] *= track.info.wavGain;
      }
    }
    return cut;
  }

  #decoder() {
    this.decoder ??= new OfflineAudioContext(2, 1, this.rate);
    return this.decoder;
  }

  #cut(decoded, lead, number) {
    const length = Math.min(this.chunk, this.frames - number * this.chunk);
    const buffer = new AudioBuffer({ numberOfChannels: decoded.numberOfChannels, length, sampleRate: this.rate });
    for (let channel = 0; channel < decoded.numberOfChannels; channel++) {
      buffer.copyToChannel(decoded.getChannelData(channel).subarray(lead, lead + length), channel);
    }
    return buffer;
  }

  get bytes() {
    let bytes = 0;
    for (const track of this.tracks.values()) {
      for (const { buffer } of track.pieces.values()) if (buffer) bytes += 4 * buffer.length * buffer.numberOfChannels;
    }
    return bytes;
  }

  // Keep within the budget: what was not used for longest goes first, never what plays now or next.
  #forget() {
    let bytes = this.bytes;
    if (bytes < BUDGET) return;
    const here = Math.floor(this.position / this.chunk);
    const pieces = [];
    for (const track of this.tracks.values()) {
      for (const [number, piece] of track.pieces) {
        if (piece.buffer && (number < here || number > here + 1)) pieces.push({ track, number, piece });
      }
    }
    pieces.sort((one, other) => one.piece.used - other.piece.used);
    for (const { track, number, piece } of pieces) {
      if (bytes < 0.75 * BUDGET) break;
      bytes -= 4 * piece.buffer.length * piece.buffer.numberOfChannels;
      track.pieces.delete(number);
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

async function fetchRange(url, from, to) {
  const answer = await fetch(url, { headers: { Range: `bytes=${from}-${to - 1}` } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  const data = await answer.arrayBuffer();
  return answer.status === 206 ? data : data.slice(from, to); // a server that knows no ranges sends it all
}

// Where the samples of a RIFF file lie, and how; plain and extensible headers.
async function readWavHeader(url) {
  const head = new DataView(await fetchRange(url, 0, 4096));
  let place = 12;
  const header = { dataEnd: Infinity };
  while (place + 8 <= head.byteLength) {
    const name = String.fromCharCode(...new Uint8Array(head.buffer, place, 4));
    const size = head.getUint32(place + 4, true);
    if (name === "fmt ") {
      header.format = new Uint8Array(head.buffer.slice(place + 8, place + 8 + size));
      header.rate = head.getUint32(place + 12, true);
      header.blockAlign = head.getUint16(place + 20, true);
    }
    if (name === "data") {
      header.dataStart = place + 8;
      header.dataEnd = place + 8 + size;
      return header;
    }
    place += 8 + size + (size % 2);
  }
  throw new Error("no data");
}

function wavFile({ format }, samples) {
  const file = new Uint8Array(28 + format.length + samples.byteLength);
  const view = new DataView(file.buffer);
  const write = (place, word) => file.set([...word].map((letter) => letter.charCodeAt(0)), place);
  write(0, "RIFF");
  view.setUint32(4, file.length - 8, true);
  write(8, "WAVEfmt ");
  view.setUint32(16, format.length, true);
  file.set(format, 20);
  write(20 + format.length, "data");
  view.setUint32(24 + format.length, samples.byteLength, true);
  file.set(new Uint8Array(samples), 28 + format.length);
  return file.buffer;
}
