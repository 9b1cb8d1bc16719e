import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { fetchRange, readWavHeader, wavFile } from "../../assets/player/wav.js";

const original = globalThis.fetch;
afterEach(() => (globalThis.fetch = original));

// Serve bytes as a web server does, with or without support for ranges.
function serve(bytes, { ranges = true } = {}) {
  globalThis.fetch = async (_, { headers }) => {
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(headers.Range).map(Number);
    const content = ranges ? bytes.slice(from, to + 1) : bytes;
    return { ok: true, status: ranges ? 206 : 200, arrayBuffer: async () => content.buffer };
  };
}

// The format chunk of 24-bit stereo at 44.1 kHz.
function format() {
  const chunk = new DataView(new ArrayBuffer(16));
  chunk.setUint16(0, 1, true);
  chunk.setUint16(2, 2, true);
  chunk.setUint32(4, 44100, true);
  chunk.setUint32(8, 44100 * 6, true);
  chunk.setUint16(12, 6, true);
  chunk.setUint16(14, 24, true);
  return new Uint8Array(chunk.buffer);
}

test("a range is the same from servers with and without ranges", async () => {
  const bytes = Uint8Array.from({ length: 20 }, (_, index) => index);
  for (const ranges of [true, false]) {
    serve(bytes, { ranges });
    assert.deepEqual([...new Uint8Array(await fetchRange("x", 5, 8))], [5, 6, 7]);
  }
});

test("an answer that is no success is an error", async () => {
  globalThis.fetch = async () => ({ ok: false, status: 403 });
  await assert.rejects(fetchRange("x", 0, 1), /403/);
});

test("a file that was written is read back", async () => {
  const samples = Uint8Array.of(1, 2, 3, 4, 5, 6).buffer;
  serve(new Uint8Array(wavFile({ format: format() }, samples)));
  const header = await readWavHeader("x");
  assert.deepEqual([header.rate, header.blockAlign, header.dataStart, header.dataEnd], [44100, 6, 44, 50]);
  assert.deepEqual(header.format, format());
});

test("other chunks are skipped, also those of odd length with their padding", async () => {
  const file = new Uint8Array(wavFile({ format: format() }, Uint8Array.of(9, 9).buffer));
  const list = Uint8Array.of(...Buffer.from("LIST"), 3, 0, 0, 0, 7, 7, 7, 0);
  serve(Uint8Array.of(...file.slice(0, 12), ...list, ...file.slice(12)));
  assert.equal((await readWavHeader("x")).dataStart, 44 + list.length);
});

test("a file without samples is an error", async () => {
  serve(new Uint8Array(wavFile({ format: format() }, new ArrayBuffer(0))).slice(0, 36));
  await assert.rejects(readWavHeader("x"), /no data/);
});
