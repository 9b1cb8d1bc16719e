import assert from "node:assert/strict";
import { test } from "node:test";

import { Engine } from "../../assets/player/engine.js";

const manifest = (...ids) => {
  const tracks = [{ name: "vocals", ready: 48000, opus: "", offsets: [0] }];
  return { rate: 48000, chunk: 192000, margin: 4800, frames: 96000, groups: ids.map((id) => ({ id, working: true, tracks })) };
};

test("a track that is no longer there leaves the mix, and its meter's connection to the meter", () => {
  const engine = new Engine();
  engine.load(manifest("ours", "theirs"), "");
  engine.master = {};
  const cut = [];
  engine.tracks.get("theirs/vocals").gain = { disconnect: (...targets) => cut.push(targets) };
  engine.load(manifest("ours"), "");
  assert.deepEqual([...engine.tracks.keys()], ["ours/vocals"]);
  assert.equal(cut.length, 1);
  assert.equal(cut[0][0], engine.master); // without a target, the meter's own disconnecting would throw
});

test("what a closer look fetches while nothing plays goes when it is too much", () => {
  const engine = new Engine();
  engine.load(manifest("ours"), "");
  const { pieces } = engine.tracks.get("ours/vocals");
  const big = { length: 4.9e6, numberOfChannels: 2 }; // 39 MB
  for (const number of [0, 1, 2, 3, 4, 5]) pieces.set(number, { buffer: big, used: number, broken: false });
  engine.loader.onLoaded();
  assert.deepEqual([...pieces.keys()], [0, 1, 5]); // of 160 MB; the first two are around the playhead
});

test("a region is a loop only within the song and from 50 ms on", async () => {
  const engine = new Engine();
  engine.load(manifest("ours"), "");
  const loops = async (from, to) => (await engine.setLoop({ from, to }), engine.loop !== null);
  assert.equal(await loops(0, 2400), true);
  assert.equal(await loops(0, 96000), true);
  for (const [from, to] of [[0, 2399], [48000, 0], [0, 0], [-1, 4800], [0, 96001]]) assert.equal(await loops(from, to), false);
});
