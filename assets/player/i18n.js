// Translated texts and names.

const WORDS = globalThis.stemscopeWords ?? {};

// Return the text for a key in the browser's language, or in English, with its {placeholders} filled in.
export function word(key, values = {}) {
  const language = (globalThis.navigator?.language || "en").slice(0, 2);
  const text = WORDS[language]?.[key] ?? WORDS.en?.[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// Compare computing with playing; `factor` is seconds of computing per second of audio.
export function speedText(factor) {
  const ratio = factor <= 1 ? 1 / Math.max(factor, 1e-4) : factor;
  return word(factor <= 1 ? "faster" : "slower", { factor: ratio.toFixed(ratio >= 10 ? 0 : 1) });
}

// Return the translated name of a known "stem" or "method", or `fallback` for a custom name.
export function displayName(kind, name, fallback) {
  const key = `${kind}_${name}`;
  const text = word(key);
  return text === key ? fallback : text;
}
