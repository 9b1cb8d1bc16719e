// Time-stretching and transposition by WSOLA, for several tracks in step.
//
// The output is made of overlapping frames of the song. Where a frame begins is found in one track, the guide, and
// holds for all tracks, so that stems stay aligned to the sample whatever their number and levels are.
// Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA)", ICASSP 1993.
//
// The classes refer to nothing outside this file: the audio thread gets them as text.

// The samples of a track in pieces of `chunk` samples; pieces that are not there are silent.
export class Tape {
  constructor(chunk) {
    this.chunk = chunk;
    this.pieces = new Map(); // number -> one Float32Array per channel
  }

  // Add `window`[from..to], times the samples from `start` on, to `target` at `offset`.
  // The channel -1 is the sum of all channels; a mono piece has its only channel in every place.
  add(target, offset, channel, start, window, from, to) {
    let index = from;
    while (index < to) {
      const place = start + index - from;
      const number = Math.floor(place / this.chunk);
      const skip = place - number * this.chunk;
      const count = Math.min(to - index, this.chunk - skip);
      const channels = this.pieces.get(number) ?? [];
      const chosen = channel < 0 ? channels : channels.slice(Math.min(channel, channels.length - 1)).slice(0, 1);
      for (const samples of chosen) {
        const stop = Math.min(count, samples.length - skip);
        for (let step = 0; step < stop; step++) {
          target[offset + index - from + step] += window[index + step] * samples[skip + step];
        }
      }
      index += count;
    }
  }
}

// What plays when. A pass {when, from, speed, pitch} plays the song from the sample `from` on at the output sample
// `when`, at a speed and with all frequencies times `pitch`. The frames are laid out on a time axis of their own,
// the phase, on which the pitch is still that of the song; reading it `pitch` times as fast transposes it.
export class Stretch {
  static HOP = 2048; // samples from one frame to the next, half a frame; 43 ms at 48 kHz
  static REACH = 1024; // how far from its place a frame may begin
  static COARSE = 8; // step of the first search
  static TAPS = 16; // length of the resampling filter at the original pitch

  constructor() {
    const { HOP } = Stretch;
    this.guide = null; // the Tape in which the frames are found
    this.passes = [];
    this.next = null; // passes of a new passage that has not begun
    this.stopping = Infinity;
    this.starts = new Map(); // frame number -> first sample of the song in it
    this.rising = Float32Array.from({ length: HOP }, (_, n) => 0.5 - 0.5 * Math.cos((Math.PI * (n + 0.5)) / HOP));
    this.falling = this.rising.map((value) => 1 - value);
    this.ones = new Float32Array(3 * HOP + 2 * Stretch.REACH).fill(1);
  }

  // Begin a new passage: from its first pass on nothing of what was played before is heard.
  begin(pass) {
    this.next = [{ ...pass, phase: 0 }];
  }

  // Go on with another pass: after a loop, at another speed or pitch. Replaces passes that begin later.
  follow(pass) {
    const passes = this.next ?? this.passes;
    while (passes.length > 1 && passes.at(-1).when >= pass.when) passes.pop();
    passes.push({ ...pass, phase: this.phaseAt(pass.when, passes) });
  }

  // Be silent from an output sample on.
  stop(when) {
    this.next = null;
    this.stopping = when;
  }

  // Whether a block of output that begins at `time` is silent.
  #isSilent(time) {
    if (this.next && time >= this.next[0].when) {
      this.passes = this.next;
      this.next = null;
      this.stopping = Infinity;
      this.starts.clear();
    }
    return !this.passes.length || time >= this.stopping;
  }

  phaseAt(time, passes = this.passes) {
    const pass = passes.findLast(({ when }) => when <= time) ?? passes[0];
    return pass.phase + (time - pass.when) * pass.pitch;
  }

  // The sample of the song whose turn it is at a phase.
  songAt(phase) {
    const pass = this.passes.findLast((candidate) => candidate.phase <= phase) ?? this.passes[0];
    return pass.from + ((phase - pass.phase) / pass.pitch) * pass.speed;
  }

  // Add a block of output that begins at `time` to the channels of `output`.
  render(tape, output, time) {
    if (this.#isSilent(time)) return;
    const length = output[0].length;
    const phase = this.phaseAt(time);
    const { pitch } = this.passes.findLast(({ when }) => when <= time);
    if (pitch === 1 && Number.isInteger(phase)) {
      output.forEach((samples, channel) => this.#frames(tape, channel, samples, phase));
      return this.#forget(phase);
    }
    const { weights, taps } = this.#filter(phase, pitch, length);
    const first = Math.floor(phase) - taps / 2 + 1;
    const count = Math.floor(phase + (length - 1) * pitch) + taps / 2 + 1 - first;
    output.forEach((samples, channel) => {
      const original = new Float32Array(count);
      this.#frames(tape, channel, original, first);
      for (let index = 0; index < length; index++) {
        const start = Math.floor(phase + index * pitch) - Math.floor(phase);
        let total = 0;
        for (let tap = 0; tap < taps; tap++) total += weights[index * taps + tap] * original[start + tap];
        samples[index] += total;
      }
    });
    this.#forget(first);
  }

  // Add the frames to `target`, which begins at the whole-numbered phase `first`.
  #frames(tape, channel, target, first) {
    const { HOP } = Stretch;
    let phase = first;
    while (phase < first + target.length) {
      const number = Math.floor(phase / HOP);
      const from = phase - number * HOP;
      const to = Math.min(HOP, from + first + target.length - phase);
      const newer = this.#startOf(number) + from;
      const older = this.#startOf(number - 1) + HOP + from;
      if (newer === older) tape.add(target, phase - first, channel, newer, this.ones, from, to);
      else {
        tape.add(target, phase - first, channel, newer, this.rising, from, to);
        tape.add(target, phase - first, channel, older, this.falling, from, to);
      }
      phase += to - from;
    }
  }

  #startOf(number) {
    if (!this.starts.has(number)) this.starts.set(number, this.#choose(number));
    return this.starts.get(number);
  }

  // A frame has its middle where it is due; from the second on it is moved to where it continues the one before.
  #choose(number) {
    const { HOP, REACH } = Stretch;
    if (number < -1) return this.#startOf(-1) + (number + 1) * HOP; // what the resampling reads before the beginning
    const due = Math.round(this.songAt((number + 1) * HOP)) - HOP;
    if (number < 0 || !this.guide) return due;
    const next = this.#startOf(number - 1) + HOP;
    if (Math.abs(next - due) <= REACH) return next;
    return this.#mostSimilar(next, due);
  }

  // The sample within reach of `due` from where on the guide is most similar to what follows `next`.
  #mostSimilar(next, due) {
    const { HOP, REACH, COARSE } = Stretch;
    const wanted = this.#guide(next, HOP);
    const region = this.#guide(due - REACH, HOP + 2 * REACH);
    const rough = bestMatch(decimate(wanted, COARSE), decimate(region, COARSE), 0, (2 * REACH) / COARSE, REACH / COARSE);
    const from = Math.max(0, (rough - 1) * COARSE);
    const to = Math.min(2 * REACH, (rough + 1) * COARSE);
    return due - REACH + bestMatch(wanted, region, from, to, rough * COARSE);
  }

  #guide(start, length) {
    const samples = new Float32Array(length);
    this.guide.add(samples, 0, -1, start, this.ones, 0, length);
    return samples;
  }

  // The resampling filter of each sample of a block: a sinc with the lower of both Nyquist frequencies under a Hann
  // window. All tracks share it.
  #filter(phase, pitch, length) {
    const key = `${phase},${pitch},${length}`;
    if (this.filter?.key === key) return this.filter;
    const cutoff = Math.min(1, 1 / pitch);
    const taps = 2 * Math.ceil(Stretch.TAPS / cutoff / 2);
    const weights = new Float32Array(length * taps);
    for (let index = 0; index < length; index++) {
      const place = phase + index * pitch;
      const fraction = place - Math.floor(place);
      let total = 0;
      for (let tap = 0; tap < taps; tap++) {
        const distance = tap - taps / 2 + 1 - fraction;
        const angle = Math.PI * distance * cutoff;
        const window = Math.cos((Math.PI * distance) / (taps + 2)) ** 2;
        const weight = window * (Math.abs(angle) < 1e-9 ? 1 : Math.sin(angle) / angle);
        weights[index * taps + tap] = weight;
        total += weight;
      }
      for (let tap = 0; tap < taps; tap++) weights[index * taps + tap] /= total;
    }
    this.filter = { key, weights, taps };
    return this.filter;
  }

  // Forget frames and passes that are over at a phase.
  #forget(phase) {
    const number = Math.floor(phase / Stretch.HOP);
    for (const old of this.starts.keys()) if (old < number - 4) this.starts.delete(old);
    while (this.passes.length > 1 && this.passes[1].phase < phase - 4 * Stretch.HOP) this.passes.shift();
  }
}

// Return the means of every `step` samples.
function decimate(samples, step) {
  const result = new Float32Array(Math.floor(samples.length / step));
  for (let index = 0; index < step * result.length; index++) result[Math.floor(index / step)] += samples[index] / step;
  return result;
}

// Return the lag from..to at which `region` correlates best with `wanted`; `usual` without any correlation.
function bestMatch(wanted, region, from, to, usual) {
  let [best, highest] = [usual, 0];
  for (let lag = from; lag <= to; lag++) {
    let [product, energy] = [0, 1e-9];
    for (let index = 0; index < wanted.length; index++) {
      product += wanted[index] * region[lag + index];
      energy += region[lag + index] ** 2;
    }
    const similarity = product / Math.sqrt(energy);
    if (similarity > highest) [best, highest] = [lag, similarity];
  }
  return best;
}

// The code of the audio thread.
export const STRETCH_CODE = [Tape, Stretch, decimate, bestMatch].map(String).join("\n");
