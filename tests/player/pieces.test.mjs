import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { PieceLoader } from "../../assets/player/pieces.js";

const RATE = 100; // samples per second; a piece lasts 4 s
const CHUNK = 400;

class FakeBuffer {
  constructor({ numberOfChannels, length }) {
    this.numberOfChannels = numberOfChannels;
    this.length = length;
    this.channels = Array.from({ length: numberOfChannels }, () => new Float32Array(length));
  }
  getChannelData = (channel) => this.channels[channel];
  copyToChannel = (data, channel) => this.channels[channel].set(data);
}

// "Decodes" bytes into a ramp, as long as an encoded piece with its margin.
class FakeContext {
  decodeAudioData() {
    const buffer = new FakeBuffer({ numberOfChannels: 2, length: CHUNK + 20 });
    for (const channel of buffer.channels) channel.forEach((_, index) => (channel[index] = index));
    return Promise.resolve(buffer);
  }
}

let asked = []; // the ranges that were requested
let works = true;

function loader() {
  const pieces = new PieceLoader({ onLoaded() {}, onMissing() {}, onConnection() {} });
  pieces.configure({ rate: RATE, chunk: CHUNK, margin: 10, frames: 1000 }, "result/");
  return pieces;
}

const track = (info = {}) => {
  return { pieces: new Map(), info: { opus: "a.opus", offsets: [0, 50, 90, 120], ready: 1000, wav: null, ...info } };
};

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  [asked, works] = [[], true];
  globalThis.OfflineAudioContext = FakeContext;
  globalThis.AudioBuffer = FakeBuffer;
  globalThis.fetch = async (url, { headers }) => {
    asked.push(`${url} ${headers.Range}`);
    if (!works) return { ok: false, status: 500 };
    return { ok: true, status: 206, arrayBuffer: async () => new ArrayBuffer(8) };
  };
});
afterEach(() => mock.timers.reset());

test("a piece is fetched once, and its margin is cut off", async () => {
  const [pieces, one] = [loader(), track()];
  await Promise.all([pieces.fetch(one, 1), pieces.fetch(one, 1)]);
  assert.deepEqual(asked, ["result/a.opus bytes=50-89"]);
  const { buffer } = one.pieces.get(1);
  assert.equal(buffer.length, CHUNK);
  assert.equal(buffer.getChannelData(1)[0], 10);
});

test("the last piece is as short as what is left of the song", async () => {
  const [pieces, one] = [loader(), track()];
  await pieces.fetch(one, 2);
  assert.equal(one.pieces.get(2).buffer.length, 200);
});

test("what is not separated yet, or lies behind the end, is not fetched", async () => {
  const pieces = loader();
  await pieces.fetch(track({ ready: 400 }), 1);
  await pieces.fetch(track(), 3);
  assert.deepEqual(asked, []);
});

test("a broken piece stays broken for 2 s and is then fetched again", async () => {
  const [pieces, one] = [loader(), track()];
  works = false;
  await pieces.fetch(one, 0);
  assert.equal(one.pieces.get(0).broken, true);
  works = true;
  await pieces.fetch(one, 0);
  assert.equal(asked.length, 1);
  mock.timers.tick(2000);
  await pieces.fetch(one, 0);
  assert.equal(asked.length, 2);
  assert.equal(one.pieces.get(0).broken, false);
});

test("over the budget, the pieces that were used least recently go, but not those around the playhead", () => {
  const pieces = loader();
  const big = { length: 4.9e6, numberOfChannels: 2 }; // 39 MB
  const one = track();
  for (const number of [0, 1, 2, 3, 4]) one.pieces.set(number, { buffer: big, used: number, broken: false });
  pieces.evict([one], 0); // 196 MB of 160
  assert.deepEqual([...one.pieces.keys()], [0, 1, 4]);
});

test("below the budget everything stays", () => {
  const [pieces, one] = [loader(), track()];
  one.pieces.set(7, { buffer: { length: 1000, numberOfChannels: 2 }, used: 0, broken: false });
  pieces.evict([one], 0);
  assert.equal(one.pieces.size, 1);
});
