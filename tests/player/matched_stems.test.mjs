import assert from "node:assert/strict";
import { test } from "node:test";

import { stemNamesOf, trackNameOf } from "../../assets/player/matched_stems.js";

const tracks = ["component 1", "component 2", "residual"].map((name) => ({ name }));

test("a matched component stands for its stem", () => {
  const ica = { tracks, scores: { stems: { drums: "component 2", other: "component 1" } } };
  assert.deepEqual(stemNamesOf(ica), ["other", "drums", "residual"]);
  assert.equal(trackNameOf(ica, "drums"), "component 2");
  assert.equal(trackNameOf(ica, "vocals"), "vocals");
});

test("without scores, components stand for themselves", () => {
  assert.deepEqual(stemNamesOf({ tracks, scores: null }), tracks.map(({ name }) => name));
  assert.equal(trackNameOf({ tracks, scores: { targets: {} } }, "component 1"), "component 1");
});
