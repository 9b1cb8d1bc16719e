import assert from "node:assert/strict";
import { test } from "node:test";

import { Stretch, STRETCH_CODE, Tape } from "../../assets/player/stretch.js";

const RATE = 48000;
const BLOCK = 128;
const CHUNK = 50_000; // no multiple of a block or a frame

function tape(samples) {
  const result = new Tape(CHUNK);
  for (let number = 0; number * CHUNK < samples.length; number++) {
    result.pieces.set(number, [samples.slice(number * CHUNK, (number + 1) * CHUNK)]);
  }
  return result;
}

const generate = (seconds, wave) => Float32Array.from({ length: seconds * RATE }, (_, n) => wave(n / RATE, n));
const sine = (hertz) => (time) => 0.5 * Math.sin(2 * Math.PI * hertz * time);

// Noise that is the same in every run.
function noise(seed) {
  let state = seed;
  return () => {
    state = (1664525 * state + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

// Play tapes in step from the sample 0 of the clock on; `then` are passes that follow.
function play(tapes, seconds, pass, then = []) {
  const stretch = new Stretch();
  stretch.guide = tapes[0];
  stretch.begin({ when: 0, from: 0, speed: 1, pitch: 1, ...pass });
  for (const later of then) stretch.follow(later);
  const outputs = tapes.map(() => new Float32Array(BLOCK * Math.floor((seconds * RATE) / BLOCK)));
  for (let time = 0; time < outputs[0].length; time += BLOCK) {
    tapes.forEach((each, index) => stretch.render(each, [outputs[index].subarray(time, time + BLOCK)], time));
  }
  return outputs;
}

// The share of the energy that is not a sine of a frequency, in dB, in pieces of about 100 ms with whole periods: frames
// may shift the phase a little.
function otherThan(hertz, samples) {
  const length = Math.round((Math.round(hertz / 10) * RATE) / hertz);
  const ratios = [];
  for (let start = length; start + length <= samples.length; start += length) {
    let [re, im, energy] = [0, 0, 0];
    for (let n = start; n < start + length; n++) {
      re += samples[n] * Math.cos((2 * Math.PI * hertz * n) / RATE);
      im += samples[n] * Math.sin((2 * Math.PI * hertz * n) / RATE);
      energy += samples[n] ** 2;
    }
    ratios.push(Math.max(1e-9, (energy - (re ** 2 + im ** 2) * (2 / length)) / energy));
  }
  assert.ok(ratios.length > 15);
  return 10 * Math.log10(Math.max(...ratios));
}

test("nothing changes at the original speed and pitch", () => {
  const samples = generate(2, noise(1));
  const [output] = play([tape(samples)], 1, { from: 12_345 });
  assert.deepEqual(output, samples.slice(12_345, 12_345 + output.length));
});

for (const speed of [0.5, 0.8, 1.25, 1.5]) {
  test(`a tone keeps its pitch at the speed ${speed}`, () => {
    const [output] = play([tape(generate(6, sine(440)))], 3, { speed });
    assert.ok(otherThan(440, output) < -38, `${otherThan(440, output)} dB`);
  });
}

for (const semitones of [-12, -3, 1, 7, 12]) {
  test(`a tone is transposed by ${semitones} semitones`, () => {
    const pitch = 2 ** (semitones / 12);
    const [output] = play([tape(generate(4, sine(440)))], 3, { pitch });
    assert.ok(otherThan(440 * pitch, output) < -38, `${otherThan(440 * pitch, output)} dB`);
  });
}

test("a transposed tone above the highest frequency is not heard", () => {
  const [output] = play([tape(generate(2, sine(15_000)))], 1.5, { pitch: 2 });
  const energy = output.slice(4800, -4800).reduce((total, value) => total + value ** 2, 0) / (output.length - 9600);
  assert.ok(10 * Math.log10(energy / 0.125) < -40);
});

for (const [speed, pitch] of [[0.5, 1], [0.75, 1.26], [1.25, 0.8], [1, 1.4]]) {
  test(`clicks come when they are due at the speed ${speed} and the pitch ${pitch}`, () => {
    const hiss = noise(2);
    const clicks = generate(40, (time) => (time % 1 < 0.004 ? 0.9 : 0) * hiss() + 0.001 * hiss());
    const [output] = play([tape(clicks)], 24, { speed, pitch });
    for (let second = 1; second < 24 * speed - 1; second++) {
      const due = Math.round((second / speed) * RATE);
      const [from, to] = [due - 4800, due + 4800]; // 100 ms
      let loudest = from;
      for (let n = from; n < to; n++) if (Math.abs(output[n]) > Math.abs(output[loudest])) loudest = n;
      assert.ok(Math.abs(output[loudest]) > 0.2, `click ${second} is missing`);
      assert.ok(Math.abs(loudest - due) < 0.06 * RATE, `click ${second} is ${(loudest - due) / RATE} s late`);
    }
  });
}

test("tracks stay in step: the stretched stems add up to the stretched mixture", () => {
  const stems = [generate(4, noise(3)), generate(4, sine(330)), generate(4, (time) => sine(90)(time) * (time % 0.5))];
  const mixture = stems[0].map((_, n) => stems[0][n] + stems[1][n] + stems[2][n]);
  const [all, ...outputs] = play([mixture, ...stems].map(tape), 3, { speed: 0.83, pitch: 1.19 });
  all.forEach((value, n) => assert.ok(Math.abs(value - outputs[0][n] - outputs[1][n] - outputs[2][n]) < 1e-5));
});

test("speed and pitch change without a gap or a click", () => {
  const later = [
    { when: 80 * BLOCK, from: 80 * BLOCK * 0.8, speed: 1.2, pitch: 1 },
    { when: 200 * BLOCK, from: 80 * BLOCK * 0.8 + 120 * BLOCK * 1.2, speed: 1, pitch: 1.5 },
  ];
  const [output] = play([tape(generate(4, sine(220)))], 1.5, { speed: 0.8 }, later);
  const steepest = 0.5 * 2 * Math.PI * (330 / RATE);
  for (let n = 1; n < output.length; n++) assert.ok(Math.abs(output[n] - output[n - 1]) < 1.3 * steepest, `at ${n}`);
  for (let n = 480; n + 480 < output.length; n += 480) {
    assert.ok(output.slice(n, n + 480).some((value) => Math.abs(value) > 0.35), `silent at ${n}`);
  }
});

test("a loop comes back to its beginning", () => {
  const rise = generate(4, (time) => time / 4); // the value tells the place in the song
  const [length, from] = [RATE / 0.8, RATE];
  const passes = [1, 2, 3].map((round) => ({ when: round * length, from, speed: 0.8, pitch: 1 }));
  const [output] = play([tape(rise)], 4, { from, speed: 0.8 }, passes);
  for (let n = 0; n < output.length; n++) {
    const round = n % length;
    if (round < 6000 || round > length - 6000) continue;
    assert.ok(Math.abs(4 * output[n] - 1 - (round / RATE) * 0.8) < 0.06, `${4 * output[n]} at ${n}`);
  }
});

test("missing pieces are silent and a stop ends the sound", () => {
  const gap = tape(generate(3, sine(440)));
  gap.pieces.delete(1);
  const [output] = play([gap], 2.5, {});
  assert.ok(output.slice(CHUNK, 2 * CHUNK).every((value) => value === 0));
  const stretch = new Stretch();
  const block = new Float32Array(BLOCK);
  stretch.begin({ when: 0, from: 0, speed: 0.9, pitch: 1 });
  stretch.render(gap, [block], 0);
  assert.ok(block.some((value) => value !== 0));
  stretch.stop(BLOCK);
  block.fill(0);
  stretch.render(gap, [block], BLOCK);
  assert.ok(block.every((value) => value === 0));
});

test("the code for the audio thread is complete", () => {
  const { Stretch: Copy, Tape: CopyOfTape } = new Function(`${STRETCH_CODE}; return { Stretch, Tape };`)();
  const stretch = new Copy();
  const block = new Float32Array(BLOCK);
  const song = new CopyOfTape(CHUNK);
  song.pieces.set(0, [generate(1, sine(440))]);
  stretch.guide = song;
  stretch.begin({ when: 0, from: 0, speed: 1.5, pitch: 1.1 });
  for (let time = 0; time < 100 * BLOCK; time += BLOCK) stretch.render(song, [block], time);
  assert.ok(block.some((value) => value !== 0));
});
