import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { Peaks } from "../../assets/player/peaks.js";

const original = globalThis.fetch;
afterEach(() => (globalThis.fetch = original));

const manifest = (...tracks) => ({ groups: [{ id: "song", tracks }] });
const mixture = (ready) => ({ name: "mixture", peaks: "mixture.peaks", ready });

// Serve the same peaks always; returns the addresses that are asked for.
function serve(...values) {
  const asked = [];
  globalThis.fetch = async (url) => {
    asked.push(url);
    return { ok: true, arrayBuffer: async () => Int8Array.from(values).buffer };
  };
  return asked;
}

// Load and wait until something has come or failed.
async function load(peaks, document) {
  let count = 0;
  peaks.load(document, "result/", () => count++);
  await new Promise((resolve) => setTimeout(resolve));
  return count;
}

test("peaks are fetched once for each length", async () => {
  const asked = serve(-127, 127);
  const peaks = new Peaks();
  assert.equal(await load(peaks, manifest(mixture(400))), 1);
  assert.equal(await load(peaks, manifest(mixture(400))), 0);
  assert.equal(await load(peaks, manifest(mixture(800))), 1);
  assert.deepEqual(asked, ["result/mixture.peaks?v=400", "result/mixture.peaks?v=800"]);
  assert.deepEqual([...peaks.get("song/mixture")], [-4, 4]);
});

test("old peaks stay until the new ones have come", async () => {
  serve(127);
  const peaks = new Peaks();
  await load(peaks, manifest(mixture(400)));
  globalThis.fetch = () => new Promise(() => {});
  await load(peaks, manifest(mixture(800)));
  assert.equal(peaks.get("song/mixture").length, 1);
});

test("peaks that failed are fetched again", async () => {
  const peaks = new Peaks();
  globalThis.fetch = async () => Promise.reject(new TypeError("no connection"));
  assert.equal(await load(peaks, manifest(mixture(400))), 0);
  serve(127);
  assert.equal(await load(peaks, manifest(mixture(400))), 1);
});

test("an error of the server is no waveform, and the earlier one stays", async () => {
  serve(127);
  const peaks = new Peaks();
  await load(peaks, manifest(mixture(400)));
  globalThis.fetch = async () => ({ ok: false, status: 502, arrayBuffer: async () => new ArrayBuffer(8) });
  assert.equal(await load(peaks, manifest(mixture(800))), 0);
  assert.equal(peaks.get("song/mixture").length, 1);
  serve(0, 127);
  assert.equal(await load(peaks, manifest(mixture(800))), 1);
});

test("an answer that comes late does not replace a newer one", async () => {
  const peaks = new Peaks();
  let answer;
  globalThis.fetch = () => new Promise((resolve) => (answer = resolve));
  await load(peaks, manifest(mixture(400)));
  serve(0, 127);
  await load(peaks, manifest(mixture(800)));
  answer({ ok: true, arrayBuffer: async () => Int8Array.from([1]).buffer });
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(peaks.get("song/mixture").length, 2);
});

test("the highest peak is the mixture's, of either sign, and never zero", async () => {
  const peaks = new Peaks();
  assert.equal(peaks.highest, 1);
  serve(-127, 10);
  await load(peaks, manifest(mixture(400)));
  assert.equal(peaks.highest, 4);
  serve(0, 0);
  await load(peaks, manifest(mixture(800)));
  assert.equal(peaks.highest, 0.01);
});
