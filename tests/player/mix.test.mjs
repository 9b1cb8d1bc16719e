import assert from "node:assert/strict";
import { test } from "node:test";

import { Mix } from "../../assets/player/mix.js";

const NAMES = ["vocals", "drums", "bass", "residual", "mixture"];
const STEMS = ["vocals", "drums", "bass"];
const heard = (mix) => Object.keys(mix.gains(NAMES));

test("at first all stems are heard, without the residual and the mixture", () => {
  assert.deepEqual(heard(new Mix()), STEMS);
});

test("a solo replaces the others, or joins them", () => {
  const mix = new Mix();
  mix.solo("drums", NAMES);
  assert.deepEqual(heard(mix), ["drums"]);
  mix.solo("bass", NAMES, { add: true });
  assert.deepEqual(heard(mix), ["drums", "bass"]);
  mix.solo("mixture", NAMES);
  assert.deepEqual(heard(mix), ["mixture"]);
  mix.solo("mixture", NAMES);
  assert.deepEqual(heard(mix), STEMS);
});

test("a solo of a stem that the method lacks is ignored", () => {
  const mix = new Mix();
  mix.solo("piano", NAMES);
  assert.deepEqual(heard(mix), STEMS);
});

test("all stems but one, and back", () => {
  const mix = new Mix();
  mix.solo("drums", NAMES);
  mix.without("vocals", NAMES);
  assert.deepEqual(heard(mix), ["drums", "bass"]);
  assert.ok(mix.hears(["bass", "drums"], NAMES));
  mix.without("vocals", NAMES);
  assert.deepEqual(heard(mix), STEMS);
});

test("exactly the chosen stems are heard", () => {
  const mix = new Mix();
  mix.mute("residual");
  mix.hear(["vocals"], NAMES);
  assert.deepEqual(heard(mix), ["vocals"]);
});

test("volumes lie between 0 and 2", () => {
  const mix = new Mix();
  mix.setVolume("bass", 7);
  mix.setVolume("drums", -1);
  assert.deepEqual(mix.gains(NAMES), { vocals: 1, drums: 0, bass: 2 });
});

test("only what was changed is kept", () => {
  const mix = new Mix();
  mix.gains(NAMES);
  assert.deepEqual(mix.toJSON(), {});
  mix.setVolume("bass", 0.5);
  mix.mute("mixture");
  const copy = new Mix();
  copy.restore(JSON.parse(JSON.stringify(mix)));
  assert.deepEqual(copy.gains(NAMES), { vocals: 1, drums: 1, bass: 0.5, mixture: 1 });
  copy.restore(null);
});

test("a link's settings are taken over only as far as they are settings", () => {
  const mix = new Mix();
  const odd = { vocals: { volume: 1000, muted: "yes" }, drums: { volume: "loud", solo: 1 }, bass: null, residual: { solo: true } };
  mix.restore(odd);
  assert.deepEqual(mix.state("vocals"), { muted: false, solo: false, volume: 2 });
  assert.deepEqual(mix.state("drums"), { muted: false, solo: false, volume: 1 });
  assert.deepEqual(heard(mix), ["residual"]);
});
