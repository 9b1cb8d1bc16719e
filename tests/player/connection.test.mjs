import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { PieceLoader } from "../../assets/player/pieces.js";

const FRAMES = 1000;

class FakeBuffer {
  numberOfChannels = 2;
  length = FRAMES;
  getChannelData = () => new Float32Array(FRAMES);
  copyToChannel() {}
}
globalThis.AudioBuffer = FakeBuffer;
globalThis.OfflineAudioContext = class {
  decodeAudioData = async () => new FakeBuffer();
};

let answers, events, loader, track;

beforeEach(() => {
  events = [];
  loader = new PieceLoader({
    onLoaded: () => events.push("loaded"),
    onMissing: () => events.push("missing"),
    onConnection: () => events.push(loader.isOffline ? "offline" : "online"),
  });
  loader.configure({ rate: 1000, chunk: FRAMES, margin: 0, frames: FRAMES }, "");
  loader.again = 1;
  track = { info: { opus: "a.opus", offsets: [0, 10], ready: FRAMES }, pieces: new Map() };
  globalThis.fetch = async () => {
    const answer = answers.shift();
    if (answer === null) throw new TypeError("Failed to fetch");
    return { ok: answer < 400, status: answer, arrayBuffer: async () => new ArrayBuffer(10) };
  };
});

test("without a connection a piece is tried again and never played as silence", async () => {
  answers = [null, null, 206];
  await loader.fetch(track, 0);
  assert.deepEqual(events, ["offline", "online", "loaded"]);
  assert.equal(track.pieces.get(0).broken, false);
  assert.ok(track.pieces.get(0).buffer);
});

test("a piece that is no longer wanted is not tried again", async () => {
  answers = [null, 206];
  const fetched = loader.fetch(track, 0);
  track.pieces.clear();
  await fetched;
  assert.deepEqual(events, ["offline"]);
  assert.equal(answers.length, 1);
});

for (const status of [403, 404])
  test(`a piece that is answered with ${status} is reported as missing`, async () => {
    answers = [status];
    await loader.fetch(track, 0);
    assert.deepEqual(events, ["missing"]);
  });

test("another answer of the server is skipped and not taken for a lost connection", async () => {
  answers = [500];
  await loader.fetch(track, 0);
  assert.deepEqual(events, []);
  assert.equal(track.pieces.get(0).broken, true);
});
