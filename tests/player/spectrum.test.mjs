import assert from "node:assert/strict";
import { test } from "node:test";

import {
  frequencyAt, interpolateColours, levelOfColour, logBands, N_FFT, noteName, powerSpectrum,
} from "../../assets/player/spectrum.js";

const RATE = 48000;
const sine = (hertz) => Float32Array.from({ length: N_FFT }, (_, n) => Math.sin((2 * Math.PI * hertz * n) / RATE));

test("a sine on a bin has the power of a quarter of the frame, squared", () => {
  const bin = 85;
  const power = powerSpectrum(N_FFT)(sine((bin * RATE) / N_FFT), 0);
  assert.equal(power.length, N_FFT / 2 + 1);
  assert.ok(Math.abs(power[bin] / (N_FFT / 4) ** 2 - 1) < 1e-5);
  assert.ok(power[bin + 2] / power[bin] < 1e-10);
});

test("the transform agrees with its definition", () => {
  const size = 16;
  const samples = Float64Array.from({ length: size }, (_, n) => Math.sin(n * n));
  const power = powerSpectrum(size)(samples, 0);
  for (let bin = 0; bin <= size / 2; bin++) {
    let [re, im] = [0, 0];
    for (let n = 0; n < size; n++) {
      const value = samples[n] * (0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size));
      re += value * Math.cos((2 * Math.PI * n * bin) / size);
      im -= value * Math.sin((2 * Math.PI * n * bin) / size);
    }
    assert.ok(Math.abs(power[bin] - re * re - im * im) < 1e-9);
  }
});

test("a tone lies in the band of its frequency", () => {
  const manifest = { lowest: 40, highest: 22050 };
  const rows = logBands(160, 40, 22050, RATE)(powerSpectrum(N_FFT)(sine(1000), 0));
  const loudest = rows.indexOf(Math.max(...rows));
  assert.ok(frequencyAt(loudest / 160, manifest) <= 1012);
  assert.ok(frequencyAt((loudest + 1) / 160, manifest) >= 988);
});

test("notes have names, octaves and cents", () => {
  assert.equal(noteName(440), "A4");
  assert.equal(noteName(261.63), "C4");
  assert.equal(noteName(27.5), "A0");
  assert.equal(noteName(450), "A4 +39 ct");
  assert.equal(noteName(311.13), "E♭4");
});

test("a colour of the palette has its level", () => {
  const colours = interpolateColours(["#000004", "#b73779", "#fcfdbf"]);
  assert.equal(colours.length, 256);
  assert.ok(Math.abs(levelOfColour(colours, [0xb7, 0x37, 0x79]) + 40) < 0.5);
  assert.equal(levelOfColour(colours, [0, 0, 4]), -80);
  assert.ok(Math.abs(levelOfColour(colours, [0xfc, 0xfd, 0xbf])) < 1e-9);
});
