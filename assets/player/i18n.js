// Translated texts and names, and numbers as the language writes them.

const WORDS = globalThis.stemscopeWords ?? {};
const LANGUAGE = globalThis.stemscopeLanguage ?? "en";
const SMALL = 1e-6; // numbers below it are written in scientific notation

// Return the text for a key in the page's language, or in English, with its {placeholders} filled in.
export function word(key, values = {}) {
  const text = WORDS[LANGUAGE]?.[key] ?? WORDS.en?.[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => isolated(values[name] ?? ""));
}

// Text within a sentence that reads the other way, so that the signs of figures keep their places.
export function isolated(text) {
  return globalThis.document?.documentElement?.dir === "rtl" ? `\u2068${text}\u2069` : text;
}

const formats = new Map(); // making one takes as long as writing hundreds of numbers

// Write a number with the language's decimal mark and a true minus sign; without `digits`, with as many as it has.
export function formatNumber(value, digits = null) {
  const notation = digits === null && value !== 0 && Math.abs(value) < SMALL ? "scientific" : "standard";
  const key = `${digits} ${notation}`;
  if (!formats.has(key)) {
    const decimals = digits === null ? {} : { minimumFractionDigits: digits, maximumFractionDigits: digits };
    const options = { useGrouping: false, maximumFractionDigits: 12, numberingSystem: "latn", notation, ...decimals };
    formats.set(key, new Intl.NumberFormat(LANGUAGE, options));
  }
  return formats.get(key).format(value).replace("-", "−");
}

// Translate a message of the library, a fact about a model or a method's title; other texts are returned as they are.
export function sentence(english) {
  const title = Object.keys(WORDS.en ?? {}).find((key) => key.startsWith("method_") && WORDS.en[key] === english);
  if (title) return word(title);
  for (const [key, pattern] of messagePatterns()) {
    const found = pattern.exec(english);
    if (!found) continue;
    const blanks = Object.entries(found.groups ?? {}).map(([name, part]) => [name, blank(name, part)]);
    const told = key.replace("error_", "told_"); // in plainer words than the library's
    return word(WORDS.en[told] ? told : key, Object.fromEntries(blanks));
  }
  return english;
}

// Translate what stands in a blank of a message: a stem, a number with decimals or another message.
function blank(name, part) {
  if (name === "stem" && WORDS.en[`stem_${part}`]) return word(`stem_${part}`);
  return /^\d+\.\d+$/.test(part) ? formatNumber(Number(part), part.split(".")[1].length) : sentence(part);
}

let patterns = null;

// The keys and patterns of the library's messages and of the facts about models, the most exact first.
function messagePatterns() {
  const exactness = (text) => text.replace(/\{\w+\}/g, "").length;
  patterns ??= Object.entries(WORDS.en ?? {})
    .filter(([key]) => /^(error|fact)_/.test(key))
    .toSorted(([, one], [, other]) => exactness(other) - exactness(one))
    .map(([key, text]) => [key, messagePattern(text)]);
  return patterns;
}

// A pattern for a text whose blanks are filled in.
function messagePattern(text) {
  const escaped = text.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\{(\w+)\}/g, "(?<$1>.+?)")}$`, "s");
}

// Compare computing with playing; `factor` is seconds of computing per second of audio.
export function speedText(factor) {
  const ratio = factor <= 1 ? 1 / Math.max(factor, 1e-4) : factor;
  return word(factor <= 1 ? "faster" : "slower", { factor: formatNumber(ratio, ratio >= 10 ? 0 : 1) });
}

// Return the translation of a known name, such as that of a "stem" or "method", or `fallback` for a custom name.
export function displayName(kind, name, fallback) {
  const key = `${kind}_${name}`;
  const text = word(key);
  return text === key ? fallback : text;
}
