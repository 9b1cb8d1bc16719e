// Spectra on a logarithmic frequency axis, as the studio computes them for its pictures, and musical notes.

export const N_FFT = 4096;
export const FLOOR = -80; // dB, the darkest colour

const NOTES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];

// Return a function that computes the power spectrum of `size` samples, size / 2 + 1 bins, with a Hann window.
export function powerSpectrum(size) {
  const bits = Math.log2(size);
  const window = Float64Array.from({ length: size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size));
  const cosines = Float64Array.from({ length: size / 2 }, (_, n) => Math.cos((2 * Math.PI * n) / size));
  const sines = Float64Array.from({ length: size / 2 }, (_, n) => -Math.sin((2 * Math.PI * n) / size));
  const reversed = Uint32Array.from({ length: size }, (_, n) => {
    let index = 0;
    for (let bit = 0; bit < bits; bit++) index |= ((n >> bit) & 1) << (bits - 1 - bit);
    return index;
  });
  const re = new Float64Array(size);
  const im = new Float64Array(size);
  return (samples, start) => {
    for (let n = 0; n < size; n++) {
      re[n] = samples[start + reversed[n]] * window[reversed[n]];
      im[n] = 0;
    }
    for (let half = 1; half < size; half *= 2) butterflies(re, im, half, cosines, sines);
    return Float64Array.from({ length: size / 2 + 1 }, (_, bin) => re[bin] ** 2 + im[bin] ** 2);
  };
}

// One stage of the radix-2 transform.
function butterflies(re, im, half, cosines, sines) {
  const stride = cosines.length / half;
  for (let block = 0; block < re.length; block += 2 * half) {
    for (let k = 0; k < half; k++) {
      const [top, bottom] = [block + k, block + k + half];
      const c = cosines[k * stride];
      const s = sines[k * stride];
      const x = re[bottom] * c - im[bottom] * s;
      const y = re[bottom] * s + im[bottom] * c;
      re[bottom] = re[top] - x;
      im[bottom] = im[top] - y;
      re[top] += x;
      im[top] += y;
    }
  }
}

// The lowest frequency of the pictures, for a highest one.
export function lowestFrequency({ lowest, highest }) {
  return Math.min(lowest, highest / 4);
}

// Return a function that averages a power spectrum over `rows` bands between two frequencies, lowest first.
export function logBands(rows, low, high, rate) {
  const edge = (row) => (low * (high / low) ** (row / rows) * N_FFT) / rate;
  const bands = Array.from({ length: rows }, (_, row) => {
    const first = Math.ceil(edge(row));
    const last = Math.floor(edge(row + 1));
    if (last >= first) return { first, last };
    const centre = (edge(row) + edge(row + 1)) / 2;
    return { first: Math.floor(centre), share: centre - Math.floor(centre) };
  });
  return (power) =>
    bands.map(({ first, last, share }) => {
      if (share !== undefined) return (1 - share) * power[first] + share * power[first + 1];
      let total = 0;
      for (let bin = first; bin <= last; bin++) total += power[bin];
      return total / (last - first + 1);
    });
}

// The frequency in Hz at a height of the picture, 0 at the bottom to 1 at the top.
export function frequencyAt(height, manifest) {
  const low = lowestFrequency(manifest);
  return low * (manifest.highest / low) ** height;
}

// The name of the note nearest to a frequency, such as "A4", with the deviation in cents if it is 10 or more.
export function noteName(hertz) {
  const pitch = 69 + 12 * Math.log2(hertz / 440);
  const note = Math.round(pitch);
  const cents = Math.round(100 * (pitch - note));
  const name = `${NOTES[((note % 12) + 12) % 12]}${Math.floor(note / 12) - 1}`;
  return Math.abs(cents) < 10 ? name : `${name} ${cents > 0 ? "+" : "−"}${Math.abs(cents)} ct`;
}

// Return the 256 colours between the colours of a palette, as [red, green, blue] from 0 to 255.
export function interpolateColours(palette) {
  const stops = palette.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, index) => {
    const place = (index / 255) * (stops.length - 1);
    const first = Math.min(stops.length - 2, Math.floor(place));
    return stops[first].map((value, channel) => value + (place - first) * (stops[first + 1][channel] - value));
  });
}

// The level in dB of a colour of the palette: that of the nearest of the 256 colours.
export function levelOfColour(colours, [red, green, blue]) {
  let best = Infinity;
  let index = 0;
  colours.forEach(([r, g, b], candidate) => {
    const distance = (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
    if (distance < best) [best, index] = [distance, candidate];
  });
  return FLOOR * (1 - index / 255);
}
