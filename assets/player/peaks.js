// The peaks of all tracks of a result, for waveforms of the whole song.

import { decodePeaks } from "./drawing.js";

const TRY_AGAIN = 2000; // ms until peaks that could not be fetched are tried again
const MOST_TRIES = 20; // in a row

export class Peaks {
  #loaded = new Map(); // track id -> {ready, samples, failures}

  // Fetch the peaks of tracks that have grown; `onLoaded` is called after each.
  load(manifest, base, onLoaded) {
    for (const group of manifest.groups) {
      for (const track of group.tracks) {
        const id = `${group.id}/${track.name}`;
        const loaded = this.#loaded.get(id) ?? { ready: -1, samples: undefined, failures: 0 };
        if (loaded.ready >= track.ready) continue;
        loaded.ready = track.ready;
        this.#loaded.set(id, loaded);
        fetch(`${base}${track.peaks}?v=${track.ready}`)
          .then((response) => (response.ok ? response.arrayBuffer() : Promise.reject(new Error(`${response.status}`))))
          .then((bytes) => {
            if (loaded.ready > track.ready) return; // the track has grown meanwhile
            loaded.samples = decodePeaks(bytes);
            loaded.failures = 0;
            onLoaded();
          })
          .catch(() => {
            if (loaded.ready > track.ready || loaded.failures++ >= MOST_TRIES) return;
            loaded.ready = -1;
            setTimeout(() => this.load(manifest, base, onLoaded), TRY_AGAIN);
          });
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
