import assert from "node:assert/strict";
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
});

test("the browser's own shortcuts stay", () => {
  for (const modifier of ["ctrlKey", "metaKey", "altKey"]) assert.equal(press(" ", body, { [modifier]: true }), false);
});

test("space presses the button that has the focus, arrows move the slider that has it", () => {
  const inside = { "stem-player": player };
  assert.equal(press(" ", element("BUTTON", inside)), false);
  assert.equal(press(" ", element("SUMMARY", inside)), false);
  assert.equal(press("ArrowLeft", element("INPUT", inside, { type: "range" })), false);
  assert.equal(press(" ", element("INPUT", inside, { type: "range" })), true);
});

test("arrows lead along a row of controls in the direction of the page", () => {
  const steps = () => ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "a"].map((key) => arrowStep({ key }));
  assert.deepEqual(steps(), [-1, 1, -1, 1, 0]);
  document.documentElement.dir = "rtl";
  assert.deepEqual(steps(), [1, -1, -1, 1, 0]);
});
