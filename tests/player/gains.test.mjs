import assert from "node:assert/strict";
import { test } from "node:test";

import { fadeGain } from "../../assets/player/gains.js";

// A gain that keeps its events as an AudioParam does: [time, value].
class FakeParam {
  value = 1;
  events = [];
  cancelScheduledValues = (from) => (this.events = this.events.filter(([time]) => time < from));
  setValueAtTime = (value, time) => this.events.push([time, value]);
  linearRampToValueAtTime = (value, time) => this.events.push([time, value]);
}

test("a fade-out is heard to its end, also if a fade-in follows at once", () => {
  const gain = new FakeParam();
  fadeGain({ currentTime: 1 }, gain, 0, 1);
  fadeGain({ currentTime: 1 }, gain, 1, 1.1);
  const rounded = gain.events.map(([time, value]) => [Number(time.toFixed(3)), value]);
  assert.deepEqual(rounded, [[1, 1], [1.004, 0], [1.096, 0], [1.104, 1]]);
});

test("a fade-out replaces a fade-in that has not begun", () => {
  const gain = new FakeParam();
  fadeGain({ currentTime: 1 }, gain, 1, 1.1);
  fadeGain({ currentTime: 1.05 }, gain, 0, 1.05);
  assert.deepEqual(gain.events.at(-1)[1], 0);
  assert.ok(gain.events.every(([time]) => time <= 1.06));
});
