import "./words.mjs";

import assert from "node:assert/strict";
import { test } from "node:test";

import { expiryText } from "../../assets/player/expiry.js";

const NOON = new Date(2026, 0, 1, 12, 0);

test("the link's end is told as time of day and as time left", () => {
  assert.equal(expiryText(52 * 60 + 30, NOON, "en-GB"), "The link expires at 12:52, in 52 min");
  assert.equal(expiryText(12.5 * 3600, NOON, "en-GB"), "The link expires at 00:30, in 750 min");
});

test("the last minute is not zero minutes", () => {
  assert.match(expiryText(20, NOON, "en-GB"), /in 1 min$/);
});
