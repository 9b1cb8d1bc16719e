// A file that is dropped anywhere on the page is the song, even while the page is still loading. Left to itself, the
// browser would leave the page to open the file.

import { admit } from "./file_limits.js";

const SONG_INPUT = "#upload input[type=file]";

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

// Whether the target takes files itself: a place with a file input of its own.
const takesFiles = (target) => target.closest?.(".block")?.querySelector("input[type=file]") != null;

function giveSong(file) {
  const input = document.querySelector(SONG_INPUT);
  if (!input) return false;
  const transfer = new DataTransfer();
  transfer.items.add(file);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
  return true;
}

// Give the file to the song's input as soon as there is one: not while the page loads, and not while it shows a song.
function chooseSong(file) {
  if (!admit("song", [file])) return;
  if (giveSong(file)) return;
  document.querySelector("#upload .icon-button-wrapper button:last-child")?.click(); // removes the song that is shown
  const observer = new MutationObserver(() => giveSong(file) && observer.disconnect());
  observer.observe(document, { subtree: true, childList: true });
}

// While files are over the page, the drop zone says where they would go.
let highlighted = null; // the timer that ends it: the browser tells nobody when they are taken elsewhere

function highlight(page) {
  page.body?.classList.add("dragging");
  clearTimeout(highlighted);
  highlighted = setTimeout(() => page.body?.classList.remove("dragging"), 400);
}

// Listen on a document; `choose` gets the first of the files that no other part of the page takes.
export function takeDroppedFiles(page, choose) {
  page.addEventListener("dragover", (event) => {
    if (!carriesFiles(event) || takesFiles(event.target)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    highlight(page);
  });
  page.addEventListener("drop", (event) => {
    if (!carriesFiles(event) || takesFiles(event.target)) return;
    event.preventDefault();
    page.getElementById("change")?.click(); // unfolds the form
    choose(event.dataTransfer.files[0]);
  });
}

if (typeof document !== "undefined") takeDroppedFiles(document, chooseSong);
