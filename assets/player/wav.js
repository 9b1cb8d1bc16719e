// Reads parts of WAV files over HTTP.

// The server cannot be reached, unlike a server that refuses.
export class NoConnection extends Error {}

// The answer for a file that is not there, or not any more.
export class NotThere extends Error {}

export const isMissing = (status) => status === 403 || status === 404;

const noConnection = (error) => {
  throw new NoConnection(error.message);
};

// Return bytes from..to (exclusive) of a file as an ArrayBuffer.
export async function fetchRange(url, from, to) {
  const response = await fetch(url, { headers: { Range: `bytes=${from}-${to - 1}` } }).catch(noConnection);
  if (!response.ok) throw new (isMissing(response.status) ? NotThere : Error)(`${response.status}`);
  const data = await response.arrayBuffer().catch(noConnection);
  return response.status === 206 ? data : data.slice(from, to); // a server without range support sends everything
}

// Return the format chunk of a RIFF file (plain or extensible) and the byte range of its samples.
export async function readWavHeader(url) {
  const head = new DataView(await fetchRange(url, 0, 4096));
  let offset = 12;
  const header = { dataEnd: Infinity };
  while (offset + 8 <= head.byteLength) {
    const name = String.fromCharCode(...new Uint8Array(head.buffer, offset, 4));
    const size = head.getUint32(offset + 4, true);
    if (name === "fmt ") {
      header.format = new Uint8Array(head.buffer.slice(offset + 8, offset + 8 + size));
      header.rate = head.getUint32(offset + 12, true);
      header.blockAlign = head.getUint16(offset + 20, true);
    }
    if (name === "data") {
      header.dataStart = offset + 8;
      header.dataEnd = offset + 8 + size;
      return header;
    }
    offset += 8 + size + (size % 2);
  }
  throw new Error("no data");
}

// Return a complete WAV file with a given format chunk and samples.
export function wavFile({ format }, samples) {
  const file = new Uint8Array(28 + format.length + samples.byteLength);
  const view = new DataView(file.buffer);
  const write = (offset, text) => file.set([...text].map((letter) => letter.charCodeAt(0)), offset);
  write(0, "RIFF");
  view.setUint32(4, file.length - 8, true);
  write(8, "WAVEfmt ");
  view.setUint32(16, format.length, true);
  file.set(format, 20);
  write(20 + format.length, "data");
  view.setUint32(24 + format.length, samples.byteLength, true);
  file.set(new Uint8Array(samples), 28 + format.length);
  return file.buffer;
}
