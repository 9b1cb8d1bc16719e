// Fetches, decodes and caches the pieces of the tracks.
//
// A piece is {buffer, used, broken, promise}. The pieces of a track are kept in `track.pieces` (number -> piece).

import { NoConnection, NotThere, fetchRange, readWavHeader, wavFile } from "./wav.js";

const BUDGET = 160e6; // bytes of decoded audio to keep
const AGAIN = 2000; // ms until a piece that could not be fetched is tried again

export class PieceLoader {
  // `onLoaded` is called after each decoded piece, `onMissing` if the server does not have one, and `onConnection` if
  // the connection is lost or found again.
  constructor({ onLoaded, onMissing, onConnection }) {
    Object.assign(this, { onLoaded, onMissing, onConnection });
    this.lossless = false;
    this.isOffline = false;
    this.again = AGAIN;
  }

  configure(manifest, base) {
    this.rate = manifest.rate;
    this.chunk = manifest.chunk;
    this.margin = manifest.margin;
    this.frames = manifest.frames;
    this.base = base;
  }

  // Fetch a piece unless it is cached or not separated yet. The promise never rejects. Without a connection it waits:
  // a song that stops is more honest than one that goes on in silence.
  fetch(track, number) {
    const begin = number * this.chunk;
    if (begin >= this.frames || begin >= track.info.ready) return Promise.resolve();
    const cached = track.pieces.get(number);
    if (cached) {
      cached.used = performance.now();
      return cached.promise;
    }
    const piece = { buffer: null, used: performance.now(), broken: false };
    track.pieces.set(number, piece);
    piece.promise = this.#load(track, number, piece);
    return piece.promise;
  }

  async #load(track, number, piece) {
    const isWanted = () => track.pieces.get(number) === piece;
    while (isWanted()) {
      try {
        piece.buffer = await this.#read(track, number);
        this.#setOffline(false);
        return this.onLoaded();
      } catch (error) {
        if (!(error instanceof NoConnection)) return this.#setBroken(track, number, piece, error);
        this.#setOffline(true);
      }
      await new Promise((resolve) => setTimeout(resolve, this.again));
    }
  }

  // Playback continues without the piece; the next request after 2 s tries again.
  #setBroken(track, number, piece, error) {
    piece.broken = true;
    setTimeout(() => track.pieces.get(number) === piece && track.pieces.delete(number), this.again);
    if (error instanceof NotThere) this.onMissing();
  }

  #setOffline(isOffline) {
    if (this.isOffline === isOffline) return;
    this.isOffline = isOffline;
    this.onConnection();
  }

  async #read(track, number) {
    const hasWav = () => track.info.wav && track.info.done;
    try {
      return await (this.lossless && hasWav() ? this.#fetchWav(track, number) : this.#fetchOpus(track, number));
    } catch (error) {
      if (error instanceof NoConnection || !hasWav()) throw error;
      return this.#fetchWav(track, number);
    }
  }

  async #fetchOpus(track, number) {
    const { opus, offsets } = track.info;
    const data = await fetchRange(this.base + opus, offsets[number], offsets[number + 1]);
    return this.#crop(await this.#decoder().decodeAudioData(data), this.margin, number);
  }

  // Read a piece of the WAV file, bit-exact. One extra second on both sides keeps the cut at whole samples at
  // every sample rate and gives the resampler context.
  async #fetchWav(track, number) {
    const url = this.base + track.info.wav;
    track.header ??= await readWavHeader(url);
    const { rate, blockAlign, dataStart, dataEnd } = track.header;
    const seconds = this.chunk / this.rate;
    const lead = number ? 1 : 0;
    const from = dataStart + Math.round((number * seconds - lead) * rate) * blockAlign;
    const to = Math.min(dataEnd, dataStart + Math.round(((number + 1) * seconds + 1) * rate) * blockAlign);
    const samples = await fetchRange(url, from, to);
    const decoded = await this.#decoder().decodeAudioData(wavFile(track.header, samples));
    const buffer = this.#crop(decoded, lead * this.rate, number);
    if (track.info.wavGain !== 1) {
      for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
        const data = buffer.getChannelData(channel);
        for (let index = 0; index < data.length; index++) data[index] *= track.info.wavGain;
      }
    }
    return buffer;
  }

  #decoder() {
    this.decoder ??= new OfflineAudioContext(2, 1, this.rate);
    return this.decoder;
  }

  // Remove `lead` samples before the piece and everything after it.
  #crop(decoded, lead, number) {
    const length = Math.min(this.chunk, this.frames - number * this.chunk);
    const buffer = new AudioBuffer({ numberOfChannels: decoded.numberOfChannels, length, sampleRate: this.rate });
    for (let channel = 0; channel < decoded.numberOfChannels; channel++) {
      buffer.copyToChannel(decoded.getChannelData(channel).subarray(lead, lead + length), channel);
    }
    return buffer;
  }

  // Drop the least recently used pieces when over budget, but never the current or the next one.
  evict(tracks, position) {
    const size = ({ buffer }) => (buffer ? 4 * buffer.length * buffer.numberOfChannels : 0);
    const piecesOf = (track) => [...track.pieces].map(([number, piece]) => ({ track, number, piece }));
    const cached = [...tracks].flatMap(piecesOf);
    let bytes = cached.reduce((total, { piece }) => total + size(piece), 0);
    if (bytes < BUDGET) return;
    const current = Math.floor(position / this.chunk);
    const unused = cached.filter(({ number, piece }) => piece.buffer && (number < current || number > current + 1));
    unused.sort((one, other) => one.piece.used - other.piece.used);
    for (const { track, number, piece } of unused) {
      if (bytes < 0.75 * BUDGET) break;
      bytes -= size(piece);
      track.pieces.delete(number);
    }
  }
}
