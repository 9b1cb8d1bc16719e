// Translated texts and names.

const WORDS = globalThis.stemscopeWords ?? {};

// Return the text for a key in the browser's language, or in English, with its {placeholders} filled in.
export function word(key, values = {}) {
  const language = (globalThis.navigator?.language || "en").slice(0, 2);
  const text = WORDS[language]?.[key] ?? WORDS.en?.[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => isolated(values[name] ?? ""));
}

// Text within a sentence that reads the other way, so that the signs of figures keep their places.
export function isolated(text) {
  return globalThis.document?.documentElement?.dir === "rtl" ? `\u2068${text}\u2069` : text;
}

// Translate a message of the library, or a method's title; other English texts are returned as they are.
export function sentence(english) {
  const title = Object.keys(WORDS.en ?? {}).find((key) => key.startsWith("method_") && WORDS.en[key] === english);
  if (title) return word(title);
  for (const [key, text] of Object.entries(WORDS.en ?? {})) {
    if (!key.startsWith("error_")) continue;
    const found = messagePattern(text).exec(english);
    if (!found) continue;
    const blanks = Object.entries(found.groups ?? {}).map(([name, part]) => [name, sentence(part)]);
    const told = key.replace("error_", "told_"); // in plainer words than the library's
    return word(WORDS.en[told] ? told : key, Object.fromEntries(blanks));
  }
  return english;
}

// A pattern for a text whose blanks are filled in.
function messagePattern(text) {
  const escaped = text.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\{(\w+)\}/g, "(?<$1>.+?)")}$`, "s");
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
