// Level meters: the peaks of what is played, in dB of full scale.

import { make } from "./dom.js";

const LOWEST = -60; // dB where the meter begins
const FALL = 30; // dB per second
const HOLD = 1.5; // seconds for which the highest peak is marked
const WINDOW = 1024; // samples that a meter looks at, more than pass between two frames of the screen

const meters = new Set();
const visible = new WeakSet(); // elements on the screen; asking each of them in each frame would cost a layout
const observer = globalThis.IntersectionObserver && new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) visible[isIntersecting ? "add" : "delete"](target);
});

// The movement of a meter: up at once, down steadily, with a mark at the highest peak of the last moments.
export class Ballistics {
  constructor() {
    this.level = this.peak = LOWEST;
    this.held = 0;
  }

  // Go on by some seconds in which the highest sample was `peak`.
  update(peak, seconds) {
    const level = Math.max(LOWEST, 20 * Math.log10(Math.max(peak, 1e-9)));
    this.level = Math.max(level, this.level - FALL * seconds);
    this.held += seconds;
    if (level >= this.peak) [this.peak, this.held] = [level, 0];
    else if (this.held > HOLD) this.peak = Math.max(this.level, this.peak - FALL * seconds);
  }

  get isAtRest() {
    return this.level <= LOWEST && this.peak <= LOWEST;
  }
}

// The place of a level on a meter, 0 to 1.
export function meterPlace(level) {
  return Math.max(0, Math.min(1, 1 - level / LOWEST));
}

// Return a meter of a track of an engine, after its fader, or without an id of all that is heard. It moves by itself.
export function levelMeter(engine, id = null) {
  const bar = make("i", {});
  const mark = make("b", {});
  const element = make("div", { class: "meter", "aria-hidden": "true" }, bar, mark);
  const meter = { engine, id, element, bar, mark, ballistics: new Ballistics(), shown: "" };
  const onChange = () => {
    meter.wasConnected ||= element.isConnected;
    if (meter.wasConnected && !element.isConnected) {
      engine.removeEventListener("change", onChange);
      disconnectMeter(meter);
    } else if (engine.playing) startMeter(meter);
  };
  engine.addEventListener("change", onChange);
  observer.observe(element);
  onChange();
  return element;
}

function startMeter(meter) {
  if (!meters.size) requestAnimationFrame((now) => animate(now, now));
  meters.add(meter);
}

function animate(now, before) {
  for (const meter of meters) moveMeter(meter, (now - before) / 1000);
  if (meters.size) requestAnimationFrame((next) => animate(next, now));
}

function moveMeter(meter, seconds) {
  const { engine, element, ballistics } = meter;
  if (element.isConnected) meter.wasConnected = true;
  else if (meter.wasConnected) return disconnectMeter(meter);
  ballistics.update(engine.playing && visible.has(element) ? readPeak(meter) : 0, seconds);
  showLevel(meter);
  if (!engine.playing && ballistics.isAtRest) meters.delete(meter);
}

function showLevel({ ballistics, bar, mark, element }) {
  bar.style.transform = `scaleX(${meterPlace(ballistics.level).toFixed(3)})`;
  mark.style.insetInlineStart = `${(100 * meterPlace(ballistics.peak)).toFixed(1)}%`;
  element.classList.toggle("over", ballistics.peak > 0);
}

// The highest sample of both channels just now.
function readPeak(meter) {
  const node = meter.id === null ? meter.engine.level : meter.engine.tracks.get(meter.id)?.gain;
  if (!node) return 0;
  if (meter.node !== node) connectMeter(meter, node);
  let peak = 0;
  for (const analyser of meter.analysers) {
    analyser.getFloatTimeDomainData(meter.samples);
    for (const sample of meter.samples) peak = Math.max(peak, Math.abs(sample));
  }
  return peak;
}

function connectMeter(meter, node) {
  disconnectMeter(meter);
  meter.node = node;
  meter.splitter = node.context.createChannelSplitter(2);
  meter.samples = new Float32Array(WINDOW);
  meter.analysers = [0, 1].map((channel) => {
    const analyser = node.context.createAnalyser();
    analyser.fftSize = WINDOW;
    meter.splitter.connect(analyser, channel);
    return analyser;
  });
  node.connect(meter.splitter);
  meters.add(meter);
}

function disconnectMeter(meter) {
  const { node, splitter } = meter;
  meter.node = null;
  meters.delete(meter);
  if (node && node.context.state !== "closed") node.disconnect(splitter);
}
