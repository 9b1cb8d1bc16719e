import assert from "node:assert/strict";
import { test } from "node:test";

import { FrameQueue } from "../../assets/player/frame_queue.js";

// A queue whose items take 5 ms each; `frame()` runs an animation frame and returns what it has drawn.
function slowQueue() {
  let now = 0;
  let next = null;
  let drawn = [];
  const draw = (item) => {
    now += 5;
    drawn.push(item);
  };
  const queue = new FrameQueue(draw, { schedule: (action) => (next = action), clock: () => now });
  const frame = () => {
    const action = next;
    next = null;
    drawn = [];
    action?.();
    return drawn;
  };
  return { queue, frame };
}

test("a frame draws what fits into its budget, the next ones the rest", () => {
  const { queue, frame } = slowQueue();
  queue.add(["a", "b", "c"]);
  queue.add(["a"]);
  assert.deepEqual([frame(), frame(), frame()], [["a", "b"], ["c"], []]);
});

test("everything is drawn although all of it is added again before every frame", () => {
  const { queue, frame } = slowQueue();
  const seen = new Set();
  for (let count = 0; count < 3; count++) {
    queue.add(["a", "b", "c", "d", "e"]);
    for (const item of frame()) seen.add(item);
  }
  assert.equal([...seen].join(""), "abcde");
});

test("what is cleared is not drawn", () => {
  const { queue, frame } = slowQueue();
  queue.add(["a", "b", "c"]);
  queue.clear();
  queue.add(["d"]);
  assert.deepEqual(frame(), ["d"]);
});
