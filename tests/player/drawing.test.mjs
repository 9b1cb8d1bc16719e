import assert from "node:assert/strict";
import { test } from "node:test";

import { decodePeaks, formatTime } from "../../assets/player/drawing.js";

test("peaks are signed bytes that store the square root of a quarter of the sample", () => {
  const samples = decodePeaks(Int8Array.from([-127, 0, 64]).buffer);
  assert.equal(samples[0], -4);
  assert.equal(samples[1], 0);
  assert.ok(Math.abs(samples[2] - 4 * (64 / 127) ** 2) < 1e-6);
});

test("times have minutes, and hours if there are any", () => {
  assert.equal(formatTime(-1), "0:00.0");
  assert.equal(formatTime(65.25), "1:05.3");
  assert.equal(formatTime(59.97), "1:00.0");
  assert.equal(formatTime(3725), "1:02:05.0");
});
