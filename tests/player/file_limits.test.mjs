import assert from "node:assert/strict";
import { test } from "node:test";

await import("./words.mjs");
const { tooLarge, tooLong } = await import("../../assets/player/file_limits.js");

test("the first file over the limit is named with its size", () => {
  const files = [{ name: "a.wav", size: 200e6 }, { name: "b.wav", size: 200_060_000 }];
  assert.equal(tooLarge(files, 200e6), "cannot read 'b.wav': it has 200.1 MB; the limit is 200 MB");
  assert.equal(tooLarge(files.slice(0, 1), 200e6), "");
});

test("a song is too long only if its length is known", () => {
  assert.equal(tooLong({ name: "a.wav" }, 1801, 1800), "cannot read 'a.wav': it lasts longer than 30 min, the limit: choose an excerpt");
  for (const seconds of [1800, NaN]) assert.equal(tooLong({ name: "a.wav" }, seconds, 1800), "");
});
