import "./words.mjs";

import assert from "node:assert/strict";
import { test } from "node:test";

const sessionStorage = { getItem: () => null, setItem: () => {} };
globalThis.window = { location: { href: "http://host/?result=abc" }, sessionStorage };
globalThis.history = { replaceState: () => {} };
globalThis.fetch = () => new Promise(() => {}); // its manifest never comes: the tests give it one

const { Session } = await import("../../assets/player/session.js");

// A session with a result of these methods, {method: names of its stems}.
function session(methods) {
  const one = new Session("result/player.json", "abc");
  const groups = Object.entries(methods).map(([id, names]) => ({ id, tracks: names.map((name) => ({ name })) }));
  one.manifest = { groups };
  one.groups = new Map(groups.map((group) => [group.id, group]));
  one.method = Object.keys(methods)[0];
  return one;
}

const FOUR = ["other", "vocals", "residual", "bass", "drums"];

test("stems come in their order, then the residual and the mixture", () => {
  assert.deepEqual(session({ ours: FOUR }).names, ["vocals", "drums", "bass", "other", "residual", "mixture"]);
});

test("karaoke is everything but the vocals, with the residual", () => {
  assert.deepEqual(session({ ours: FOUR }).presets, {
    all: ["vocals", "drums", "bass", "other"],
    karaoke: ["drums", "bass", "other", "residual"],
    a_cappella: ["vocals"],
  });
});

test("there are no one-click mixes without vocals or with nothing else", () => {
  assert.deepEqual(session({ ica: ["component 1", "component 2"] }).presets, {});
  assert.deepEqual(session({ ours: ["vocals", "residual"] }).presets, {});
});

test("a method without stems cannot be chosen", () => {
  const one = session({ ours: FOUR, theirs: [] });
  one.choose("theirs");
  assert.equal(one.method, "ours");
});

test("a network is heard before simple estimates, and those before the true sources", async () => {
  const groups = ["song", "references", "mix", "ours"].map((id) => ({ id, tracks: [{ name: "vocals" }] }));
  const chosen = [];
  for (const ids of [["references"], ["references", "mix"], ["references", "mix", "ours"]]) {
    const manifest = { rate: 1, frames: 10, groups: groups.filter(({ id }) => id === "song" || ids.includes(id)) };
    globalThis.fetch = async () => ({ ok: true, text: async () => JSON.stringify(manifest) });
    const one = new Session("result/player.json", "abc");
    one.engine.load = one.engine.mix = one.peaks.load = () => {};
    await new Promise((resolve) => one.addEventListener("manifest", resolve));
    chosen.push(one.method);
  }
  assert.deepEqual(chosen, ["references", "mix", "ours"]);
});

test("a server that answers 502 while it restarts is waited for, one without the result is not", async (context) => {
  const manifest = { rate: 1, frames: 10, working: true, groups: [{ id: "song", tracks: [{ name: "mixture" }] }] };
  for (const [status, isGone] of [[502, false], [404, true]]) {
    context.mock.timers.enable({ apis: ["setTimeout"] });
    let answer = { ok: true, text: async () => JSON.stringify(manifest) };
    globalThis.fetch = async () => answer;
    const one = new Session("result/player.json", "abc");
    one.engine.load = one.engine.mix = one.engine.close = one.peaks.load = () => {};
    await new Promise((resolve) => one.addEventListener("manifest", resolve));
    answer = { ok: false, status };
    for (let poll = 0; poll < 30; poll++) {
      await new Promise((resolve) => setImmediate(resolve));
      context.mock.timers.tick(1000);
    }
    assert.equal(!!one.isGone, isGone);
    one.closed = true;
    context.mock.timers.reset();
  }
});
