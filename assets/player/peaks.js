// The peaks of all tracks of a result, for waveforms of the whole song.

import { decodePeaks } from "./drawing.js";

export class Peaks {
  #loaded = new Map(); // track id -> {ready, samples}

  // Fetch the peaks of tracks that have grown; `onLoaded` is called after each.
  load(manifest, base, onLoaded) {
    for (const group of manifest.groups) {
      for (const track of group.tracks) {
        const id = `${group.id}/${track.name}`;
        const loaded = this.#loaded.get(id);
        if (loaded?.ready === track.ready) continue;
        this.#loaded.set(id, { ready: track.ready, samples: loaded?.samples });
        fetch(`${base}${track.peaks}?v=${track.ready}`)
          .then((response) => response.arrayBuffer())
          .then((bytes) => {
            this.#loaded.get(id).samples = decodePeaks(bytes);
            onLoaded();
          })
          .catch(() => this.#loaded.delete(id));
      }
    }
  }

  // The peaks of a track, all columns' minima and then all maxima; undefined until they are loaded.
  get(id) {
    return this.#loaded.get(id)?.samples;
  }

  // The highest peak of the song. All waveforms share it as full scale, so that they can be compared.
  get highest() {
    const peaks = this.get("song/mixture") ?? [...this.#loaded.values()][0]?.samples;
    if (!peaks) return 1;
    if (this.measured !== peaks) {
      this.measured = peaks;
      this.highestPeak = peaks.reduce((highest, value) => Math.max(highest, Math.abs(value)), 0.01);
    }
    return this.highestPeak;
  }
}
