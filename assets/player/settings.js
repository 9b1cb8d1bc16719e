// What a listener has set for a result: kept over a reload, and part of the link to the result.

import { browserStorage } from "./browser_storage.js";

const PREFIX = "stemscope-player-";
const PARAMETER = "player";

// Return the settings in the address if there are any, else those kept by the browser, else {}.
export function loadSettings(token, { address = window.location.href, storage = browserStorage("sessionStorage") } = {}) {
  const url = new URL(address);
  const linked = url.searchParams.get("result") === token ? url.searchParams.get(PARAMETER) : null;
  return parse(linked) ?? parse(storage?.getItem(PREFIX + token)) ?? {};
}

export function saveSettings(token, settings, storage = browserStorage("sessionStorage")) {
  try {
    storage.setItem(PREFIX + token, JSON.stringify(settings));
  } catch {
    // without storage, a reload starts afresh
  }
}

// Return an address with the result and the settings.
export function addressWith(address, token, settings) {
  const url = new URL(address);
  url.searchParams.set("result", token);
  if (settings && Object.keys(settings).length) url.searchParams.set(PARAMETER, JSON.stringify(settings));
  else url.searchParams.delete(PARAMETER);
  return url;
}

// Return an address without the result and its settings.
export function addressWithout(address) {
  const url = new URL(address);
  url.searchParams.delete("result");
  url.searchParams.delete(PARAMETER);
  return url;
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
