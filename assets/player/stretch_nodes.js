// Audio nodes that play tracks at another speed or pitch: one per track, and one that tells all what plays when.

import { STRETCH_CODE } from "./stretch.js";

// Register the processors; runs on the audio thread, where all nodes share one Stretch.
function registerProcessors() {
  const stretch = new Stretch();

  class ClockProcessor extends AudioWorkletProcessor {
    constructor() {
      super();
      this.port.onmessage = ({ data: [action, value] }) => stretch[action](value);
    }

    process() {
      return true;
    }
  }

  class TapeProcessor extends AudioWorkletProcessor {
    constructor({ processorOptions: { chunk, isGuide } }) {
      super();
      this.tape = new Tape(chunk);
      if (isGuide) stretch.guide = this.tape;
      this.port.onmessage = ({ data: { number, channels } }) => {
        if (number === undefined) this.closed = true;
        else if (channels) this.tape.pieces.set(number, channels);
        else this.tape.pieces.delete(number);
      };
    }

    process(_, [output]) {
      stretch.render(this.tape, output, currentFrame);
      return !this.closed;
    }
  }

  registerProcessor("stretch-clock", ClockProcessor);
  registerProcessor("stretch-tape", TapeProcessor);
}

const MOST_PIECES = 3; // of a track on the audio thread, unless more are needed: a short loop is sent once

export class StretchNodes {
  constructor(context, chunk) {
    this.context = context;
    this.chunk = chunk;
    this.nodes = new Map(); // track id -> {node, sent}
  }

  // Browsers have no audio worklets on pages that come over plain HTTP from another machine.
  static get areSupported() {
    return typeof AudioWorkletNode === "function" && globalThis.isSecureContext;
  }

  // Load the code into the audio thread.
  async open() {
    const code = new Blob([`${STRETCH_CODE}\n(${registerProcessors})();`], { type: "text/javascript" });
    const url = URL.createObjectURL(code);
    await this.context.audioWorklet.addModule(url);
    URL.revokeObjectURL(url);
    this.clock = new AudioWorkletNode(this.context, "stretch-clock", { numberOfOutputs: 0 });
  }

  begin(pass) {
    this.clock.port.postMessage(["begin", pass]);
  }

  follow(pass) {
    this.clock.port.postMessage(["follow", pass]);
  }

  stop(when) {
    this.clock.port.postMessage(["stop", when]);
  }

  // Give the audio thread a piece of a track, if it does not have it yet.
  send(track, number, buffer) {
    if (!this.nodes.has(track.id)) this.#add(track);
    const { node, sent } = this.nodes.get(track.id);
    if (sent.get(number) === buffer) return;
    sent.set(number, buffer);
    const channels = Array.from({ length: buffer.numberOfChannels }, (_, at) => buffer.getChannelData(at).slice());
    node.port.postMessage({ number, channels }, channels.map((samples) => samples.buffer));
  }

  // Take the oldest pieces that are not among the `needed` numbers away from the audio thread.
  keep(needed) {
    for (const { node, sent } of this.nodes.values()) {
      for (const number of [...sent.keys()].filter((candidate) => !needed.has(candidate))) {
        if (sent.size <= MOST_PIECES) break;
        sent.delete(number);
        node.port.postMessage({ number });
      }
    }
  }

  // Remove the node of a track.
  remove(id) {
    const { node } = this.nodes.get(id) ?? {};
    node?.port.postMessage({});
    node?.disconnect();
    this.nodes.delete(id);
  }

  // The first track is the guide; the song is the first of a result, and its frames suit all mixes.
  #add(track) {
    const isGuide = !this.nodes.size;
    const options = { numberOfInputs: 0, outputChannelCount: [2], processorOptions: { chunk: this.chunk, isGuide } };
    const node = new AudioWorkletNode(this.context, "stretch-tape", options);
    node.connect(track.gain);
    this.nodes.set(track.id, { node, sent: new Map() });
  }
}
