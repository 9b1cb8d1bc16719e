// Files over the host's limits are told at their field: too large ones before their upload begins, long songs while
// it runs, since an excerpt of them can be separated.

import { sentence } from "./i18n.js";

const limits = () => document.querySelector(".drop")?.dataset ?? {};
const unreadable = (file, why) => sentence(`cannot read '${file.name}': ${why}`);

// Return why one of the files is too large, or "".
export function tooLarge(files, bytes) {
  const large = [...files].find((file) => file.size > bytes);
  if (!large) return "";
  return unreadable(large, `it has ${(large.size / 1e6).toFixed(1)} MB; the limit is ${bytes / 1e6} MB`);
}

// Return why a song is too long, or "".
export function tooLong(file, seconds, limit) {
  return seconds > limit ? unreadable(file, `it lasts longer than ${limit / 60} min, the limit: choose an excerpt`) : "";
}

// The folded form's script shows the problem of a field, and takes problems away if there is none.
const tell = (field, problem) => document.dispatchEvent(new CustomEvent("problem", { detail: { field, problem } }));

// Whether files may be uploaded for a field; if not, the page says why.
export function admit(field, files) {
  const problem = tooLarge(files, Number(limits().bytes ?? Infinity));
  tell(field, problem);
  if (!problem && field === "song") warnOfLength(files[0]);
  return !problem;
}

let latest = null; // the song that was chosen last

// Only where the browser can read it; the server looks at every file.
function warnOfLength(file) {
  latest = file;
  const sound = new Audio();
  sound.preload = "metadata";
  sound.onloadedmetadata = () => {
    const problem = tooLong(file, sound.duration, Number(limits().seconds ?? Infinity));
    URL.revokeObjectURL(sound.src);
    if (problem && file === latest) tell("song", problem);
  };
  sound.onerror = () => URL.revokeObjectURL(sound.src);
  sound.src = URL.createObjectURL(file);
}

const fieldOf = (input) => (input.closest("#upload") ? "song" : input.closest(".block[id]")?.id);

function check(event) {
  const input = event.type === "change" ? event.target : event.target.closest?.(".block")?.querySelector("input[type=file]");
  const files = event.type === "change" ? input.files : event.dataTransfer?.files;
  if (!input?.matches?.("input[type=file]") || !files?.length || !fieldOf(input)) return;
  if (admit(fieldOf(input), files)) return;
  event.stopImmediatePropagation();
  event.preventDefault(); // or the browser would open a dropped file
  input.value = "";
}

if (typeof document !== "undefined") for (const name of ["change", "drop"]) document.addEventListener(name, check, true);
