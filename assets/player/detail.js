// Waveforms and spectrograms of a zoomed part of a track, computed from its audio.

import { FLOOR, interpolateColours, logBands, lowestFrequency, N_FFT, powerSpectrum } from "./spectrum.js";

const MOST_SECONDS = 40; // longer parts are shown from the picture of the whole song
const SLICE = 8; // milliseconds of computing at a time, so that the page stays smooth

export class Detail {
  constructor(session) {
    this.session = session;
    this.power = powerSpectrum(N_FFT);
    this.finished = new Map(); // track id -> {key, canvas}
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
        if (track && !piece?.broken) engine.loader.fetch(track, number)?.then(onReady);
        return null;
      }
      addMono(mono, piece.buffer, number * manifest.chunk - from);
    }
    return mono;
  }

  // Return the minima and maxima of `columns` parts of what is shown, in the form of the song's peaks; null if not yet.
  peaks(id, columns, onReady) {
    const { from, to } = this.#range();
    const samples = this.samples(id, from, to, onReady);
    if (!samples) return null;
    const peaks = new Float32Array(2 * columns);
    for (let column = 0; column < columns; column++) {
      const start = Math.floor((column * samples.length) / columns);
      const stop = Math.max(start + 1, Math.floor(((column + 1) * samples.length) / columns));
      let [low, high] = [Infinity, -Infinity];
      for (let index = start; index < stop; index++) {
        low = Math.min(low, samples[index]);
        high = Math.max(high, samples[index]);
      }
      peaks[column] = low;
      peaks[columns + column] = high;
    }
    return peaks;
  }

  // Draw the spectrogram of what is shown on a canvas, a few columns at a time. `onReady` is called if audio was missing.
  async draw(id, canvas, columns, rows, onReady) {
    const { session } = this;
    const { from, to } = this.#range();
    const key = [from, to, columns, rows, session.manifest.loudest].join();
    if (canvas.dataset.key === key) return;
    const margin = N_FFT / 2;
    const samples = this.samples(id, from - margin, to + margin, onReady);
    if (!samples) return;
    canvas.dataset.key = key;
    this.colours ??= interpolateColours(session.manifest.palette);
    const low = lowestFrequency(session.manifest);
    const bands = logBands(rows, low, session.manifest.highest, session.manifest.rate);
    const image = new ImageData(columns, rows);
    let began = performance.now();
    for (let column = 0; column < columns; column++) {
      const start = Math.floor(((column + 0.5) * (to - from)) / columns);
      this.#paint(image, column, bands(this.power(samples, start)));
      if (performance.now() - began < SLICE) continue;
      await new Promise((resolve) => setTimeout(resolve));
      if (canvas.dataset.key !== key) return; // the view has changed meanwhile
      began = performance.now();
    }
    canvas.width = columns;
    canvas.height = rows;
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.dataset.done = key;
  }

  #paint(image, column, powers) {
    const { loudest } = this.session.manifest;
    powers.forEach((power, row) => {
      const level = 10 * Math.log10(Math.max(power, 1e-20) / loudest);
      const colour = this.colours[Math.round(255 * Math.max(0, Math.min(1, 1 - level / FLOOR)))];
      image.data.set([...colour, 255], 4 * ((powers.length - 1 - row) * image.width + column));
    });
  }

  // The samples that are shown.
  #range() {
    const { viewport, manifest } = this.session;
    return { from: Math.floor(viewport.from * manifest.frames), to: Math.ceil(viewport.to * manifest.frames) };
  }
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
