import assert from "node:assert/strict";
import { test } from "node:test";

import { Ballistics, meterPlace } from "../../assets/player/meters.js";

test("a meter rises at once and falls by 30 dB per second", () => {
  const meter = new Ballistics();
  assert.ok(meter.isAtRest);
  meter.update(0.5, 0.016);
  assert.ok(Math.abs(meter.level + 6.02) < 0.01);
  meter.update(0, 0.5);
  assert.ok(Math.abs(meter.level + 21.02) < 0.01);
  meter.update(0.5, 0.016);
  assert.ok(Math.abs(meter.level + 6.02) < 0.01);
});

test("the highest peak is marked for a second and a half", () => {
  const meter = new Ballistics();
  meter.update(1, 0.1);
  for (let step = 0; step < 14; step++) meter.update(0.01, 0.1);
  assert.equal(meter.peak, 0);
  assert.equal(meter.level, -40);
  for (let step = 0; step < 30; step++) meter.update(0, 0.1);
  assert.ok(meter.isAtRest);
});

test("a meter covers 60 dB", () => {
  assert.deepEqual([-100, -60, -30, 0, 6].map(meterPlace), [0, 0, 0.5, 1, 1]);
});
