// Songs of this studio that a chart refers to: what a click on a dot does.

import { word } from "./i18n.js";

// Say after a dot's values whether its track can be heard. `songs` is track -> song, for the tracks that are here.
export function hearingHint({ own, track }, songs = {}) {
  if (!own) return word("dot_published");
  return word(songs[track] ? "dot_plays" : "dot_absent");
}

// Separate a song by a method on the first page, as a click on its card does.
export function requestSong({ song, method }) {
  document.querySelector("[role=tab]")?.click();
  const boxes = [...document.querySelectorAll("#methods input[type=checkbox]")];
  if (boxes.some((box) => box.value === method && !box.disabled)) {
    for (const box of boxes) box.checked = box.value === method;
    boxes[0].dispatchEvent(new Event("change", { bubbles: true }));
  }
  const cards = document.querySelector("#examples .song-cards");
  cards?.dispatchEvent(new CustomEvent("song", { bubbles: true, detail: song }));
}
