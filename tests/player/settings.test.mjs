import assert from "node:assert/strict";
import { test } from "node:test";

import { keepTest, loadTest } from "../../assets/player/blind_store.js";
import { browserStorage } from "../../assets/player/browser_storage.js";
import { addRatings, clearRatings, loadRatings } from "../../assets/player/rating_store.js";
import { addressWith, addressWithout, loadSettings, saveSettings } from "../../assets/player/settings.js";

class Storage extends Map {
  getItem = (key) => this.get(key) ?? null;
  setItem = (key, value) => this.set(key, value);
}

const ADDRESS = "http://host/studio/?__theme=dark";

test("settings survive a reload", () => {
  const storage = new Storage();
  saveSettings("abc", { method: "ica" }, storage);
  assert.deepEqual(loadSettings("abc", { address: ADDRESS, storage }), { method: "ica" });
  assert.deepEqual(loadSettings("other", { address: ADDRESS, storage }), {});
});

test("settings in the link come first, but only for its own result", () => {
  const storage = new Storage();
  saveSettings("abc", { method: "ica" }, storage);
  const address = addressWith(ADDRESS, "abc", { method: "demucs" }).href;
  assert.deepEqual(loadSettings("abc", { address, storage }), { method: "demucs" });
  assert.deepEqual(loadSettings("xyz", { address, storage }), {});
});

test("the rest of the address stays", () => {
  const address = addressWith(ADDRESS, "abc", { zoom: [0, 0.5] });
  assert.equal(address.searchParams.get("__theme"), "dark");
  assert.equal(addressWithout(address.href).href, ADDRESS);
  assert.equal(addressWith(address.href, "abc", {}).searchParams.has("player"), false);
});

test("damaged settings are ignored", () => {
  const storage = new Storage();
  storage.setItem("stemscope-player-abc", "{");
  assert.deepEqual(loadSettings("abc", { address: ADDRESS, storage }), {});
  assert.deepEqual(loadSettings("abc", { address: `${ADDRESS}&result=abc&player=[1]`, storage }), {});
});

test("a browser that forbids storage starts afresh", () => {
  const forbid = { configurable: true, get: () => { throw new Error("SecurityError"); } };
  for (const name of ["sessionStorage", "localStorage"]) Object.defineProperty(globalThis, name, forbid);
  assert.equal(browserStorage("sessionStorage"), null);
  assert.deepEqual(loadSettings("abc", { address: ADDRESS }), {});
  saveSettings("abc", { method: "ica" });
  assert.equal(loadTest("abc"), null);
  keepTest("abc", { tests: [1] });
  assert.deepEqual(loadRatings(), []);
  assert.deepEqual(addRatings([{ rating: 1 }]), [{ rating: 1 }]);
  clearRatings();
});
