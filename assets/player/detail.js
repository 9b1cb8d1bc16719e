// Waveforms and spectrograms of a zoomed part of a track, computed from its audio.

import { FLOOR, interpolateColours, logBands, lowestFrequency, N_FFT, powerSpectrum } from "./spectrum.js";

const MOST_SECONDS = 12; // longer parts are shown from the picture of the whole song
const SLICE = 6; // milliseconds of computing at a time, so that the page stays smooth

export class Detail {
  constructor(session) {
    this.session = session;
    this.power = powerSpectrum(N_FFT);
    this.turn = Promise.resolve(); // one spectrogram after the other
    this.latest = new Map(); // track id -> {key, peaks}
  }

  // Return whether the part that is shown is short enough for a closer look.
  get isUseful() {
    const { viewport, duration } = this.session;
    return viewport.isZoomed && viewport.length * duration <= MOST_SECONDS;
  }

  // Return the samples from..to of a track as mono, or null while they are being fetched; `onReady` is called then.
  samples(id, from, to, onReady) {
    const { engine, manifest } = this.session;
    const track = engine.tracks.get(id);
    const first = Math.max(0, Math.floor(from / manifest.chunk));
    const last = Math.floor((Math.min(to, manifest.frames) - 1) / manifest.chunk);
    const mono = new Float32Array(to - from);
    for (let number = first; number <= last; number++) {
      const piece = track?.pieces.get(number);
      if (!piece?.buffer) {
        const isThere = track && number * manifest.chunk < track.info.ready; // else the track's growth draws again
        if (isThere && !piece?.broken) engine.loader.fetch(track, number)?.then(onReady);
        return null;
      }
      piece.used = performance.now();
      addMono(mono, piece.buffer, number * manifest.chunk - from);
    }
    return mono;
  }

  // Return the minima and maxima of `columns` parts of what is shown, in the form of the song's peaks; null if not yet.
  peaks(id, columns, onReady) {
    const { from, to } = this.#range();
    const key = [from, to, columns].join();
    const known = this.latest.get(id);
    if (known?.key === key) return known.peaks;
    const samples = this.samples(id, from, to, onReady);
    if (!samples) return null;
    const peaks = new Float32Array(2 * columns);
    for (let column = 0; column < columns; column++) {
      const start = Math.floor((column * samples.length) / columns);
      const stop = Math.max(start + 1, Math.floor(((column + 1) * samples.length) / columns));
      let [low, high] = [Infinity, -Infinity];
      for (let index = start; index < stop; index++) {
        const value = samples[index];
        if (value < low) low = value;
        if (value > high) high = value;
      }
      peaks[column] = low;
      peaks[columns + column] = high;
    }
    this.latest.set(id, { key, peaks });
    return peaks;
  }

  // Draw the spectrogram of what is shown on a canvas, a few columns at a time. `onReady` is called if audio was missing.
  draw(id, canvas, columns, rows, onReady) {
    const range = this.#range();
    const key = [range.from, range.to, columns, rows].join();
    if (canvas.dataset.key === key) return this.turn;
    canvas.dataset.key = key;
    this.turn = this.turn.then(() => this.#draw(id, canvas, { ...range, key, columns, rows }, onReady));
    return this.turn;
  }

  async #draw(id, canvas, { from, to, key, columns, rows }, onReady) {
    if (canvas.dataset.key !== key) return; // the view has changed meanwhile
    const { manifest } = this.session;
    const margin = N_FFT / 2;
    const samples = this.samples(id, from - margin, to + margin, onReady);
    if (!samples) {
      delete canvas.dataset.key;
      return;
    }
    this.colours ??= Uint32Array.from(interpolateColours(manifest.palette), packColour);
    const bands = logBands(rows, lowestFrequency(manifest), manifest.highest, manifest.rate);
    const image = new ImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    let began = performance.now();
    for (let column = 0; column < columns; column++) {
      const start = Math.floor(((column + 0.5) * (to - from)) / columns);
      this.#paint(pixels, column, columns, bands(this.power(samples, start)));
      if (performance.now() - began < SLICE) continue;
      await new Promise((resolve) => setTimeout(resolve, SLICE)); // as long for the rest of the page
      if (canvas.dataset.key !== key) return;
      began = performance.now();
    }
    canvas.width = columns;
    canvas.height = rows;
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.dataset.done = key;
  }

  #paint(pixels, column, columns, powers) {
    const { loudest } = this.session.manifest;
    powers.forEach((power, row) => {
      const level = 10 * Math.log10(Math.max(power, 1e-20) / loudest);
      const shade = Math.round(255 * Math.max(0, Math.min(1, 1 - level / FLOOR)));
      pixels[(powers.length - 1 - row) * columns + column] = this.colours[shade];
    });
  }

  // The samples that are shown.
  #range() {
    const { viewport, manifest } = this.session;
    return { from: Math.floor(viewport.from * manifest.frames), to: Math.ceil(viewport.to * manifest.frames) };
  }
}

// A colour as canvases store it: red in the lowest byte, opaque.
function packColour([red, green, blue]) {
  return ((255 << 24) | (Math.round(blue) << 16) | (Math.round(green) << 8) | Math.round(red)) >>> 0;
}

// Add the mean of a buffer's channels to `mono`, at `offset`, as far as it lies inside.
function addMono(mono, buffer, offset) {
  const start = Math.max(0, -offset);
  const stop = Math.min(buffer.length, mono.length - offset);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const data = buffer.getChannelData(channel);
    for (let index = start; index < stop; index++) mono[index + offset] += data[index] / buffer.numberOfChannels;
  }
}
