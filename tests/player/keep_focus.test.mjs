import assert from "node:assert/strict";
import { test } from "node:test";

import { successor } from "../../assets/player/keep_focus.js";

const there = (...ids) => (id) => ids.includes(id);

test("the focus goes to the same thing again, or to the innermost place around it", () => {
  const ids = ["get-htdemucs", "card-htdemucs", "methods", "form"];
  assert.equal(successor(ids, there(...ids)), "get-htdemucs");
  assert.equal(successor(ids, there("card-htdemucs", "methods", "form")), "card-htdemucs");
  assert.equal(successor(ids, there("form")), "form");
  assert.equal(successor(ids, there()), null);
});

test("from Stop and Go on it goes to the status, which tells their effect", () => {
  for (const id of ["stop", "go-on"]) assert.equal(successor([id, "now"], there("now", "status")), "status");
});
