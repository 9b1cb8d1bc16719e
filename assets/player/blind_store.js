// A blind test that has begun, with its ratings so far: kept by the tab, so that it goes on after a reload.

import { browserStorage } from "./browser_storage.js";

const TEST_PREFIX = "stemscope-blind-";

// Return the unfinished test of a result, or null.
export function loadTest(result, storage = browserStorage("sessionStorage")) {
  try {
    const test = JSON.parse(storage.getItem(TEST_PREFIX + result));
    return Array.isArray(test?.tests) && test.tests.length ? test : null;
  } catch {
    return null;
  }
}

// Keep the unfinished test of a result; null forgets it.
export function keepTest(result, test, storage = browserStorage("sessionStorage")) {
  try {
    if (test) storage.setItem(TEST_PREFIX + result, JSON.stringify(test));
    else storage.removeItem(TEST_PREFIX + result);
  } catch {
    // A full or forbidden storage: the test lasts as long as the page.
  }
}
