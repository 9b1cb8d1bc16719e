import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, test } from "node:test";

import { arrowStep, handleKey } from "../../assets/player/keyboard.js";

const body = {};
const player = { offsetParent: {}, manifest: {}, viewName: "blind", toggle: () => presses++ };
player.session = { names: [], methods: [], viewport: {} };
let presses = 0;

beforeEach(() => {
  presses = 0;
  globalThis.document = { body, documentElement: { dir: "ltr" } };
});

// A press of a key while an element has the focus; returns whether the player took it.
function press(key, target, { on = player, ...more } = {}) {
  let taken = false;
  const event = { key, code: "", target, preventDefault: () => (taken = true), ...more };
  handleKey(on, event);
  return taken;
}

// An element inside parts of the page, named by the selectors that find them.
const element = (tagName, inside = {}, more = {}) => ({ tagName, ...more, closest: (selector) => inside[selector] ?? null });
const field = (tagName) => ({ tagName, closest: (selector) => (selector.includes("textarea") ? field : null) });

test("space on the page plays", () => {
  assert.equal(press(" ", body), true);
  assert.equal(presses, 1);
});

test("what is typed into a field is no shortcut", () => {
  assert.equal(press(" ", field("TEXTAREA")), false);
});

test("a player takes keys only from itself and from the bar", () => {
  assert.equal(press(" ", element("DIV", { "stem-player": player })), true);
  assert.equal(press(" ", element("DIV", { "stem-player": {} })), false);
  assert.equal(press(" ", element("DIV", { ".stem-dock": {} })), true);
  assert.equal(press(" ", element("DIV")), false);
});

test("a hidden player, or one without a result, takes nothing", () => {
  assert.equal(press(" ", body, { on: { ...player, offsetParent: null } }), false);
  assert.equal(press(" ", body, { on: { ...player, manifest: null } }), false);
  assert.equal(press(" ", body, { on: { ...player, session: { ...player.session, isGone: true } } }), false);
});

test("the browser's own shortcuts stay", () => {
  for (const modifier of ["ctrlKey", "metaKey", "altKey"]) assert.equal(press(" ", body, { [modifier]: true }), false);
});

test("space presses the button that has the focus, arrows move the slider that has it", () => {
  const inside = { "stem-player": player };
  assert.equal(press(" ", element("BUTTON", inside)), false);
  assert.equal(press(" ", element("SUMMARY", inside)), false);
  assert.equal(press(" ", element("INPUT", inside, { type: "checkbox" })), false);
  assert.equal(press("ArrowLeft", element("INPUT", inside, { type: "range" })), false);
  assert.equal(press(" ", element("INPUT", inside, { type: "range" })), true);
});

test("arrows lead along a row of controls in the direction of the page", () => {
  const steps = () => ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "a"].map((key) => arrowStep({ key }));
  assert.deepEqual(steps(), [-1, 1, -1, 1, 0]);
  document.documentElement.dir = "rtl";
  assert.deepEqual(steps(), [1, -1, -1, 1, 0]);
});

// A player that shows stems and is zoomed; what the keys call is added to `calls`.
function recordingPlayer(calls) {
  const record = (...names) => Object.fromEntries(names.map((name) => [name, (...args) => calls.push([name, ...args])]));
  const session = {
    ...record("seek", "toggleLoop", "mute", "solo", "without", "zoom", "showAll", "scroll", "choose"),
    ...{ names: ["vocals", "drums"], methods: ["ica", "demucs"], method: "ica", selected: "drums", seconds: 60 },
    engine: { speed: 1, ...record("setSpeed") },
    viewport: { isZoomed: true },
  };
  const view = { changeVolume: (...args) => calls.push(["changeVolume", ...args]) };
  view.digitAction = (index, shift) => () => calls.push(["digit", index, shift]);
  return { ...player, viewName: "stems", isZoomable: true, session, view, toggle: () => calls.push(["toggle"]) };
}

// Each row of the table in docs/studio.md -> the keys in it, and what they do.
const SHORTCUTS = {
  space: [[" ", {}, ["toggle"]]],
  arrows: [
    ["ArrowLeft", {}, ["seek", 55]],
    ["ArrowRight", {}, ["seek", 65]],
    ["ArrowLeft", { shiftKey: true }, ["seek", 59]],
    ["ArrowRight", { shiftKey: true }, ["seek", 61]],
    ["ArrowUp", {}, ["changeVolume", "drums", 0.1]],
    ["ArrowDown", {}, ["changeVolume", "drums", -0.1]],
  ],
  "1-9": [
    ["1", { code: "Digit1" }, ["digit", 0, false]],
    ["(", { code: "Digit9", shiftKey: true }, ["digit", 8, true]],
  ],
  "M, S, X": [
    ["m", {}, ["mute", "drums"]],
    ["S", { shiftKey: true }, ["solo", "drums", { add: true }]],
    ["x", {}, ["without", "drums"]],
  ],
  "A, B": [
    ["a", {}, ["choose", "ica"]], // the first method stays
    ["b", {}, ["choose", "demucs"]],
  ],
  L: [["l", {}, ["toggleLoop"]]],
  "+, −, 0": [
    ["+", {}, ["zoom", 1.5]],
    ["=", {}, ["zoom", 1.5]],
    ["-", {}, ["zoom", 1 / 1.5]],
    ["0", { code: "Digit0" }, ["showAll"]],
  ],
  "Page up, Page down": [
    ["PageUp", {}, ["scroll", -0.8]],
    ["PageDown", {}, ["scroll", 0.8]],
  ],
  "< and >": [
    ["<", {}, ["setSpeed", 0.95]],
    [">", {}, ["setSpeed", 1.05]],
  ],
};

test("the documented keys do what the table in docs/studio.md says", () => {
  const page = readFileSync(new URL("../../docs/studio.md", import.meta.url), "utf-8");
  const table = page.split("| key | action |")[1].split("\n\n")[0];
  const rows = [...table.matchAll(/^\| ([^|]+) \|/gm)].map((row) => row[1]);
  assert.deepEqual(rows, Object.keys(SHORTCUTS));
  for (const keys of Object.values(SHORTCUTS)) {
    for (const [key, more, call] of keys) {
      const calls = [];
      assert.ok(press(key, body, { on: recordingPlayer(calls), shiftKey: false, ...more }), `${key} is not taken`);
      assert.deepEqual(calls, [call]);
    }
  }
});
