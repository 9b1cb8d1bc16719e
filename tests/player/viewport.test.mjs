import assert from "node:assert/strict";
import { test } from "node:test";

import { Viewport } from "../../assets/player/viewport.js";

const close = (value, expected) => assert.ok(Math.abs(value - expected) < 1e-9, `${value} is not ${expected}`);

function view(seconds = 100) {
  const viewport = new Viewport();
  viewport.setDuration(seconds);
  return viewport;
}

test("zooming keeps the position under the pointer in its place", () => {
  const viewport = view();
  viewport.zoom(4, 0.3);
  close(viewport.length, 0.25);
  close(viewport.place(0.3), 0.3);
  viewport.zoom(2, 0.3);
  close(viewport.place(0.3), 0.3);
});

test("the view never leaves the song, and shows at least half a second", () => {
  const viewport = view();
  viewport.zoom(1e6, 1);
  close(viewport.length, 0.005);
  close(viewport.to, 1);
  viewport.scroll(5);
  close(viewport.to, 1);
  viewport.zoom(1e-6);
  close(viewport.from, 0);
  close(viewport.to, 1);
  assert.ok(!viewport.isZoomed);
});

test("a short song cannot be zoomed", () => {
  const viewport = view(0.3);
  assert.ok(!viewport.zoom(2, 0.5));
});

test("the page turns when the playhead leaves the view", () => {
  const viewport = view();
  viewport.show(0.2, 0.3);
  assert.ok(!viewport.follow(0.25));
  assert.ok(viewport.follow(0.3));
  close(viewport.place(0.3), 0.05);
  assert.ok(viewport.follow(0));
  close(viewport.from, 0);
});

test("places and positions are inverse", () => {
  const viewport = view();
  viewport.show(0.4, 0.6);
  close(viewport.position(viewport.place(0.45)), 0.45);
});
