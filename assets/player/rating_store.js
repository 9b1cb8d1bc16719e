// The ratings that this browser has given in all its blind tests. They survive a reload and stay in the browser.

import { browserStorage } from "./browser_storage.js";

const RATINGS_KEY = "stemscope-ratings";
const MAX_RATINGS = 2000; // the server compares at most as many

export function loadRatings(storage = browserStorage("localStorage")) {
  try {
    const rows = JSON.parse(storage.getItem(RATINGS_KEY) ?? "[]");
    return Array.isArray(rows) ? rows : [];
  } catch {
    return []; // a browser that stores nothing, or something else under this name
  }
}

// Add rows and return all; the oldest ones go if there are too many.
export function addRatings(rows, storage = browserStorage("localStorage")) {
  const all = [...loadRatings(storage), ...rows].slice(-MAX_RATINGS);
  try {
    storage.setItem(RATINGS_KEY, JSON.stringify(all));
  } catch {
    // A full or forbidden storage: the ratings last as long as the page.
  }
  return all;
}

export function clearRatings(storage = browserStorage("localStorage")) {
  storage?.removeItem(RATINGS_KEY);
}
