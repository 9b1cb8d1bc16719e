// Names of stems.

import { displayName, word } from "./i18n.js";

const STEM_ORDER = ["vocals", "drums", "bass", "other"];

// Sort stems: the four usual ones, then custom ones, then the residual.
export function sortStems(names) {
  const rank = (name) => (STEM_ORDER.includes(name) ? STEM_ORDER.indexOf(name) : name === "residual" ? 99 : 50);
  return names.sort((one, other) => rank(one) - rank(other));
}

// Return true for the stems of a method, whose sum with the residual is the mixture.
export function isStem(name) {
  return name !== "mixture" && name !== "residual";
}

export function stemLabel(name) {
  const number = /^component (\d+)$/.exec(name)?.[1];
  return number ? word("component", { number }) : displayName("stem", name, name);
}
