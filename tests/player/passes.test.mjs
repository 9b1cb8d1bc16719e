import assert from "node:assert/strict";
import { test } from "node:test";

import { Passes } from "../../assets/player/passes.js";

const pass = (when, from, to, speed = 1) => ({ when, from, to, speed });

test("the position moves with the clock at the speed of the pass", () => {
  const passes = new Passes();
  assert.equal(passes.positionAt(5), null);
  passes.add(pass(100, 1000, 2000, 0.5));
  assert.deepEqual([50, 100, 200, 5000].map((now) => passes.positionAt(now)), [1000, 1000, 1050, 2000]);
  assert.equal(passes.end, 2100);
});

test("a loop is a pass after the other", () => {
  const passes = new Passes();
  passes.add(pass(0, 500, 1000));
  passes.add(pass(passes.end, 200, 1000));
  assert.deepEqual([499, 500, 600].map((now) => passes.positionAt(now)), [999, 200, 300]);
  passes.forget(400);
  assert.equal(passes.list.length, 2);
  passes.forget(501);
  assert.equal(passes.list.length, 1);
});

test("passes that have not begun can be cancelled", () => {
  const passes = new Passes();
  passes.add(pass(0, 500, 1000));
  passes.add(pass(500, 200, 1000));
  passes.cancel(300);
  passes.add(pass(300, passes.positionAt(300), 1000, 2));
  assert.deepEqual([299, 300, 301].map((now) => passes.positionAt(now)), [799, 800, 802]);
});
