import assert from "node:assert/strict";
import { test } from "node:test";

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
