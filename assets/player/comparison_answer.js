// The answer of a comparison in words: which method is best for which stem, and how sure that is.

import { displayName, formatNumber, isolated, sentence, word } from "./i18n.js";
import { stemLabel } from "./stems.js";

export function methodName(id, titles = {}) {
  return displayName("method", id, sentence(titles[id] ?? id));
}

// Return a stem's name as it is written within a sentence.
function stemInSentence(name) {
  const label = stemLabel(name);
  return word("nouns_are_capital") === "yes" || label === name ? label : label.toLowerCase();
}

export function joinWords(words) {
  return new Intl.ListFormat(word("language_code"), { type: "conjunction" }).format(words);
}

// Return a metric's name in the page's language.
export function metricName(metric) {
  return metric === "mask AP" ? word("mask_ap") : displayName("metric_name", metric, metric);
}

// Write a score with its unit.
export function scoreText(value, unit = "", digits = 1) {
  if (value === null || value === undefined) return "–";
  return isolated(`${formatNumber(value, digits)}${unit ? ` ${unit}` : ""}`);
}

// Return the head of a column, with its unit if it has one.
export function withUnit(title, unit) {
  return unit ? `${title} (${unit})` : title;
}

// Return "sure", "tie", "short", "untested", "only", "none" or "floor": no method beats the mixture.
export function verdictOf(found, floor) {
  const best = found.scores[found.best];
  const lowest = floor === null ? null : found.scores[floor];
  if (typeof best === "number" && typeof lowest === "number" && lowest >= best) return "floor";
  return found.verdict;
}

// Return the answer as one sentence, or nothing if no method has a score.
export function answerSentence(ranking, metric, titles = {}) {
  const text = answerClauses(ranking, metric, titles).join("; ");
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

// Return a clause per best method or tie.
function answerClauses({ sources, metrics, floor }, metric, titles = {}) {
  const unit = metrics.find(({ name }) => name === metric)?.unit ?? "";
  const name = (id) => methodName(id, titles);
  const groups = new Map(); // what is said of several stems is said once
  for (const [source, its] of Object.entries(sources)) {
    const found = its[metric];
    if (!found) continue;
    const verdict = verdictOf(found, floor);
    if (verdict === "none") continue;
    const tied = [found.best, ...found.ties];
    const key = JSON.stringify([verdict, verdict === "floor" ? [] : verdict === "tie" ? tied : found.best]);
    const score = `${stemInSentence(source)} (${scoreText(found.scores[found.best], unit)})`;
    const stems = groups.get(key)?.stems ?? [];
    stems.push(verdict === "tie" || verdict === "floor" ? stemInSentence(source) : score);
    groups.set(key, { verdict, method: name(found.best), methods: tied.map(name), stems });
  }
  return [...groups.values()].map(({ verdict, method, methods, stems }) =>
    word(`answer_${verdict}`, { method, methods: joinWords(methods), stems: joinWords(stems) }),
  );
}

// Return how sure the answer for one stem is, for the last row of the matrix.
export function certaintyText(found, { unit, floor, titles = {} }) {
  const verdict = verdictOf(found, floor);
  const lead = found.lead === null ? "" : scoreText(found.lead, unit);
  const methods = joinWords(found.ties.map((id) => methodName(id, titles)));
  return word(`certainty_${verdict}`, { lead, methods, count: found.samples });
}
