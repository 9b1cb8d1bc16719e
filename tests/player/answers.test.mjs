import "./words.mjs";

import assert from "node:assert/strict";
import { test } from "node:test";

import { answerSentence, certaintyText, metricName, scoreText, verdictOf } from "../../assets/player/comparison_answer.js";
import { agreementSentence, bestAgreement, ratingsTable } from "../../assets/player/rating_results.js";
import { keepTest, loadTest } from "../../assets/player/blind_store.js";
import { addRatings, clearRatings, loadRatings } from "../../assets/player/rating_store.js";

const metrics = [{ name: "SDR", unit: "dB" }, { name: "fullness", unit: "" }];

function found(verdict, scores, rest = {}) {
  return { best: "ours", verdict, ties: [], lead: 1.25, p: 0.01, samples: 20, scores, ...rest };
}

function answer(sources, floor = null) {
  const wrapped = Object.fromEntries(Object.entries(sources).map(([name, its]) => [name, { SDR: its }]));
  return answerSentence({ metrics, floor, sources: wrapped }, "SDR");
}

test("what is true of several stems is said once", () => {
  const sources = { vocals: found("sure", { ours: 6.12 }), drums: found("tie", { ours: 5 }, { ties: ["theirs"] }), other: found("sure", { ours: 3 }) };
  assert.equal(answer(sources), "Ours is clearly best for vocals (6.1 dB) and other (3.0 dB); drums: a tie of Ours and Theirs.");
});

test("too little sound and untested metrics claim no certainty", () => {
  assert.match(answer({ bass: found("short", { ours: -1 }) }), /^Ours leads for bass \(−1\.0 dB\), but there is too little sound/);
  assert.equal(answer({ bass: found("untested", { ours: 1 }) }), "Ours leads for bass (1.0 dB).");
  assert.equal(answer({ bass: found("none", {}, { best: null }) }), "");
});

test("a best method that does not beat the mixture is no success", () => {
  const its = found("sure", { ours: 1, mix: 1.5 });
  assert.equal(verdictOf(its, "mix"), "floor");
  assert.equal(verdictOf(its, null), "sure");
  assert.equal(answer({ bass: its }, "mix"), "Bass: no method beats the unseparated mixture.");
});

test("the last row says how sure each answer is", () => {
  assert.equal(certaintyText(found("sure", { ours: 2 }), { unit: "dB", floor: null }), "clear, by 1.3 dB");
  const tie = found("tie", { ours: 2 }, { ties: ["theirs"] });
  assert.equal(certaintyText(tie, { unit: "dB", floor: null }), "tie with Theirs");
});

test("scores have their unit, or none", () => {
  assert.equal(scoreText(-0.04, "dB"), "−0.0 dB");
  assert.equal(scoreText(71.26), "71.3");
  assert.equal(scoreText(undefined, "dB"), "–");
});

test("a metric without a unit is answered without one, and has a readable name", () => {
  const sources = { vocals: { fullness: found("untested", { ours: 71.26 }) } };
  assert.equal(answerSentence({ metrics, floor: null, sources }, "fullness"), "Ours leads for vocals (71.3).");
  assert.deepEqual(["SDR", "l1_freq", "log_wmse", "mask AP"].map(metricName), ["SDR", "L1 freq", "Log-WMSE", "mask AP"]);
});

const its = (correlation, low, high, count = 8) => ({ correlation, low, high, count });

test("the agreement names the best metric, and doubts it if its interval holds zero", () => {
  assert.equal(bestAgreement({ SDR: its(0.5, 0.1, 0.8), SIR: its(0.9, 0.6, 0.99) }).metric, "SIR");
  assert.match(agreementSentence({ SIR: its(0.9, 0.6, 0.99) }), /^SIR agrees best with your ears: .* 0\.90 \(0\.60 to 0\.99\) over 8/);
  assert.match(agreementSentence({ SDR: its(0.3, -0.6, 0.8) }), /^No metric clearly agrees/);
  assert.match(agreementSentence({ SDR: its(0.3, null, null, 3) }), /so far there are 3/);
  assert.match(agreementSentence({}), /no metric to compare/);
});

test("all ratings become one table", () => {
  const row = { song: "s", source: "vocals", letter: "B", method: "ica", rating: 50, scores: { SDR: 1 } };
  const table = ratingsTable([row, { ...row, rating: null, scores: {} }]);
  assert.deepEqual(table.head, ["song", "source", "letter", "method", "rating", "SDR"]);
  assert.deepEqual(table.rows[0], ["s", "vocals", "B", "ica", 50, 1]);
});

function memory(content = null) {
  let kept = content;
  return { getItem: () => kept, setItem: (_, value) => (kept = value), removeItem: () => (kept = null) };
}

test("ratings add up from test to test and can be forgotten", () => {
  const storage = memory();
  addRatings([{ rating: 1 }], storage);
  assert.equal(addRatings([{ rating: 2 }], storage).length, 2);
  assert.deepEqual(loadRatings(storage).map(({ rating }) => rating), [1, 2]);
  clearRatings(storage);
  assert.deepEqual(loadRatings(storage), []);
  assert.deepEqual(loadRatings(memory("broken")), []);
  assert.deepEqual(loadRatings(memory("{}")), []);
});

test("a browser that stores nothing still shows the ratings of the test", () => {
  const full = { getItem: () => null, setItem: () => { throw new Error("full"); } };
  assert.equal(addRatings([{ rating: 1 }], full).length, 1);
});

test("among words from right to left, the signs of figures keep their places", () => {
  globalThis.document = { documentElement: { dir: "rtl" } };
  assert.equal(scoreText(-3.21, "dB"), "\u2068−3.2 dB\u2069");
  delete globalThis.document;
});

test("a blind test that has begun is found again until its methods are shown", () => {
  const storage = memory();
  const begun = { tests: [{ token: "t", source: "bass" }], index: 0, given: { t: { A: 50, B: null } }, share: true };
  keepTest("result", begun, storage);
  assert.deepEqual(loadTest("result", storage), begun);
  keepTest("result", null, storage);
  assert.equal(loadTest("result", storage), null);
  for (const nonsense of ["broken", "{}", '{"tests": []}']) assert.equal(loadTest("result", memory(nonsense)), null);
});
