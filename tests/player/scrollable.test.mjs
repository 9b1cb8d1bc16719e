import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

let resized; // tells the element's observer

// As much of an element as `scrollable` needs.
class FakeElement {
  constructor() {
    Object.assign(this, { attributes: {}, dataset: {}, listeners: {}, scrollLeft: 0, scrollWidth: 0, clientWidth: 0 });
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
  }
  addEventListener(type, action) {
    this.listeners[type] = action;
  }
  append() {}
}

beforeEach(() => {
  globalThis.document = { createElement: () => new FakeElement() };
  globalThis.ResizeObserver = class {
    constructor(action) {
      resized = action;
    }
    observe() {}
  };
});

await import("./words.mjs");
const { scrollable } = await import("../../assets/player/scrollable.js");

// What the area says about more content after it has been scrolled.
function moreAt(scrollLeft, { scrollWidth = 300, clientWidth = 100 } = {}) {
  const area = Object.assign(scrollable(null, "Scores"), { scrollWidth, clientWidth });
  resized();
  area.scrollLeft = scrollLeft;
  area.listeners.scroll();
  return area.dataset.more;
}

test("the sides on which there is more are marked", () => {
  assert.deepEqual([0, 100, 200].map((left) => moreAt(left)), ["after", "both", "before"]);
});

test("where lines run from right to left, scrolling on makes the place negative", () => {
  assert.deepEqual([0, -100, -200].map((left) => moreAt(left)), ["after", "both", "before"]);
});

test("content that fits has nothing to mark, even if it is rounded up by a pixel", () => {
  assert.equal(moreAt(0, { scrollWidth: 101 }), "none");
});

test("it can be reached by keys and has a name", () => {
  const { attributes } = scrollable(null, "Scores");
  assert.deepEqual([attributes.tabindex, attributes.role, attributes["aria-label"]], [0, "region", "Scores"]);
});
