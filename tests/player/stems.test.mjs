import assert from "node:assert/strict";
import { test } from "node:test";

import { stemProperty } from "../../assets/player/method_style.js";
import { isStem, sortStems, stemLabel } from "../../assets/player/stems.js";

test("the usual stems come first and the residual last", () => {
  assert.deepEqual(sortStems(["residual", "piano", "other", "vocals"]), ["vocals", "other", "piano", "residual"]);
});

test("the mixture and the residual are no stems", () => {
  assert.deepEqual(["vocals", "mixture", "residual", "piano"].filter(isStem), ["vocals", "piano"]);
});

test("unknown stems keep their names", () => {
  assert.equal(stemLabel("kazoo"), "kazoo");
});

test("stems that may be shown side by side have colours of their own", () => {
  const names = ["vocals", "drums", "bass", "other", "accompaniment", "guitar", "piano", "residual", "mixture"];
  assert.equal(new Set(names.map((name, index) => stemProperty(name, index))).size, names.length);
  assert.equal(stemProperty("instrumental", 1), stemProperty("accompaniment", 4));
  assert.equal(stemProperty("fiddle", 5), "--player-drums");
});
