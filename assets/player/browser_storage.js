// The browser's storages. A browser that blocks the site's data throws as soon as the property is read.

// Return `sessionStorage` or `localStorage`, or null where it is forbidden.
export function browserStorage(name) {
  try {
    return globalThis[name] ?? null;
  } catch {
    return null;
  }
}
