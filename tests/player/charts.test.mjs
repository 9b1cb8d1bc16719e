import "./words.mjs";

import assert from "node:assert/strict";
import { test } from "node:test";

import { toCsv } from "../../assets/player/chart_files.js";
import { nearestPoint } from "../../assets/player/chart_figure.js";
import { withUnit } from "../../assets/player/comparison_answer.js";
import { lineChart } from "../../assets/player/line_chart.js";
import { methodStyle } from "../../assets/player/method_style.js";
import { agreementChart, ratingChart } from "../../assets/player/rating_charts.js";
import { scoreRange } from "../../assets/player/score_chart.js";
import { hearingHint } from "../../assets/player/song_request.js";
import { linearScale, niceTicks, quantile, spreadLabels, svgTag } from "../../assets/player/svg.js";
import { limitsOf, orderByMedian, outline, violinChart } from "../../assets/player/violin_chart.js";

const NASTY = '<img src=x onerror="alert(1)">';

test("scales are linear, ticks round and within the range", () => {
  assert.equal(linearScale([0, 10], [100, 0])(2.5), 75);
  assert.deepEqual(niceTicks(-3, 11), [0, 5, 10]);
  assert.deepEqual(niceTicks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(niceTicks(0.1, 0.35, 3), [0.1, 0.2, 0.3]);
});

test("quantiles are interpolated as NumPy's are", () => {
  assert.equal(quantile([1, 2, 4, 8], 0.5), 3);
  assert.equal(quantile([1, 2, 4, 8], 0.25), 1.75);
  assert.equal(quantile([5], 0.9), 5);
});

test("attributes are escaped and missing ones left out", () => {
  assert.equal(svgTag("text", { class: '"<', x: 1.23456, y: null }, "a"), '<text class="&quot;&lt;" x="1.23">a</text>');
});

test("labels stay apart and in order", () => {
  const moved = spreadLabels([50, 10, 52]);
  assert.deepEqual(moved, [50, 10, 63]);
});

test("methods differ by letter and neighbours by line style", () => {
  const styles = Array.from({ length: 30 }, (_, index) => methodStyle(index));
  assert.equal(new Set(styles.map(({ letter }) => letter)).size, 30);
  for (let index = 1; index < 30; index++) assert.notEqual(styles[index].dash, styles[index - 1].dash);
});

const rows = [
  {
    label: "Vocals", colour: "red",
    methods: [
      { name: "good", label: "Good", own: true, tracks: ["a", "b", "c", "d"], values: [6, 7, 8, null] },
      { name: NASTY, tracks: ["a", "b", "c", "d"], values: [1, 2, 3, 40] },
    ],
    lines: [{ value: 9, letter: "A", dash: "2 3", label: "this song", key: "mine" }],
  },
  { label: "Bass", colour: "blue", methods: [{ name: "good", tracks: ["a"], values: [null] }] },
];

test("a violin chart has a point per score, a line per song, and names that cannot become markup", () => {
  const chart = violinChart({ rows, unit: "dB", width: 400 });
  assert.equal(chart.points.filter(({ track }) => track).length, 7);
  assert.deepEqual(chart.points.filter(({ key }) => key).map(({ key, tip }) => [key, tip]), [["mine", "this song"]]);
  assert.ok(!chart.markup.includes("<img"));
  assert.ok(!chart.markup.includes("NaN"));
  assert.ok(!chart.markup.includes("Bass"), "a target without scores has no row");
  assert.equal(chart.table.rows.length, 8);
});

test("a violin chart grows so that its columns can be told apart", () => {
  const many = Array.from({ length: 40 }, (_, index) => ({ name: `m${index}`, tracks: ["a"], values: [index] }));
  assert.ok(violinChart({ rows: [{ label: "x", colour: "red", methods: many }], width: 300 }).width > 40 * 20);
});

test("methods are ordered by their lead over the others, not by the targets they have", () => {
  const method = (name, values) => ({ name, values, tracks: values.map(String) });
  const order = orderByMedian([
    { methods: [method("a", [1]), method("b", [2]), method("c", [3])] },
    { methods: [method("a", [11]), method("b", [10])] },
  ]);
  assert.deepEqual(order.map(({ name }) => name), ["a", "b", "c"]);
});

test("limits leave outliers out but hold the lines", () => {
  const values = [...Array.from({ length: 99 }, (_, index) => index / 10), 500];
  const [low, high] = limitsOf(values, [30]);
  assert.ok(low < 0 && high >= 30 && high < 50, `${low} ${high}`);
});

test("a density is symmetric and widest where values are dense", () => {
  const path = outline([0, 5, 5, 5, 5, 10], 100, 10, (value) => value);
  const corners = path.slice(1, -1).split("L").map((pair) => pair.split(" ").map(Number));
  assert.equal(Math.max(...corners.map(([x]) => x)), 110);
  assert.equal(Math.min(...corners.map(([x]) => x)), 90);
  const widest = corners.find(([x]) => x === 110);
  assert.ok(Math.abs(widest[1] - 5) < 0.5);
});

test("a line breaks where there is no score", () => {
  const points = [{ x: 0, y: 1 }, { x: 1, y: 2 }, null, { x: 3, y: 99, tip: "last" }];
  const lines = [{ letter: "A", dash: "7 4", label: "one", key: "k", points }];
  const chart = lineChart({ lines, colour: "red", width: 200, height: 100, x: { range: [0, 4] }, y: { range: [0, 4], unit: "dB" } });
  const path = / d="([^"]*)"/.exec(chart.markup)[1];
  assert.equal(path.match(/M/g).length, 2);
  assert.equal(path.match(/L/g).length, 1);
  assert.ok(chart.markup.includes('stroke-dasharray="7 4"'));
  assert.deepEqual(chart.points.map(({ tip, key }) => [tip, key]), [["last", "k"]]);
  assert.equal(chart.table.rows.length, 3);
});

test("the range of a score chart spans 4 to 60 dB and holds zero", () => {
  assert.deepEqual(scoreRange([]), [0, 4]);
  assert.deepEqual(scoreRange([1.2, 1.3]), [0, 4]);
  const [low, high] = scoreRange([-200, ...Array(50).fill(5), 300]);
  assert.ok(high - low <= 60);
});

test("the nearest point is found, and a point wins over a line", () => {
  const points = [{ x: 10, y: 10, tip: "point" }, { from: 0, to: 100, y: 12, tip: "line" }];
  assert.equal(nearestPoint(points, 11, 11).tip, "point");
  assert.equal(nearestPoint(points, 60, 13).tip, "line");
  assert.equal(nearestPoint(points, 60, 40), null);
});

test("CSV is quoted, and text cannot become a formula", () => {
  const table = { head: ["a", "b"], rows: [["=HYPERLINK()", 1 / 3], ['say "hi", you', null], ["-1", -1]] };
  assert.equal(toCsv(table), 'a,b\r\n\'=HYPERLINK(),0.333333\r\n"say ""hi"", you",\r\n\'-1,-1\r\n');
});

test("ratings are drawn per method, the best first; unrated stems are left out", () => {
  const rating = (method, value) => ({ method, label: method, rating: value, stem: "Vocals", song: NASTY, colour: "red" });
  const chart = ratingChart({ rows: [rating("low", 10), rating("high", 90), rating("high", 80), rating("none", null)], width: 300 });
  assert.equal(chart.points.length, 3);
  assert.ok(chart.markup.indexOf(">high<") < chart.markup.indexOf(">low<"));
  assert.ok(!chart.markup.includes(">none<"));
});

test("agreement has a dot per metric, and an interval where there is one", () => {
  const its = (correlation, low, high) => ({ correlation, low, high, count: 5 });
  const found = { SDR: its(0.5, -0.1, 0.9), SAR: its(-0.2, null, null), SIR: its(null, null, null) };
  const chart = agreementChart({ groups: [{ label: "yours", hollow: false, found }], width: 500 });
  assert.equal(chart.points.length, 2);
  assert.equal(chart.markup.match(/class="interval"/g).length, 1);
  assert.match(chart.points[0].tip, /yours, SDR: 0\.50 \(−0\.10 to 0\.90\), n = 5/);
});

test("the head of a column has a unit only if the metric has one", () => {
  assert.deepEqual([withUnit("SDR", "dB"), withUnit("Fullness", "")], ["SDR (dB)", "Fullness"]);
  const methods = [{ name: "ours", own: true, tracks: ["here"], values: [71.26] }];
  const chart = violinChart({ rows: [{ label: "vocals", colour: "red", methods }], unit: "", width: 300 });
  assert.equal(chart.points[0].tip, "ours, here: 71.26");
});

test("dots say whether their track can be heard, and only those can be picked", () => {
  const methods = ["ours", "published"].map((name) => ({ name, own: name === "ours", tracks: ["here", "away"], values: [1, 2] }));
  const rows = [{ label: "vocals", colour: "red", methods }];
  const songs = { here: "here (test)" };
  const keyOf = ({ name, own, track }) => (own && songs[track] ? { song: songs[track], method: name } : undefined);
  const { points } = violinChart({ rows, unit: "dB", width: 300, keyOf, hint: (dot) => hearingHint(dot, songs) });
  assert.deepEqual(
    points.map(({ tip, key }) => [tip, key]),
    [
      ["ours, here: 1.00 dB. Click to separate and hear it.", { song: "here (test)", method: "ours" }],
      ["ours, away: 2.00 dB. This studio does not have the song.", undefined],
      ["published, here: 1.00 dB. Published scores only: no audio is available.", undefined],
      ["published, away: 2.00 dB. Published scores only: no audio is available.", undefined],
    ],
  );
});
