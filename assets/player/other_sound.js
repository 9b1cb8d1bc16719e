// All sound that the session's engine does not play: Gradio plays uploads and recordings with elements of its own,
// outside the document, whose controls page.css hides.

const elements = new Set();

// Keep every audio or video element that is asked to play, as long as it plays.
export function watchPlayback(prototype) {
  const { play } = prototype;
  prototype.play = function (...options) {
    elements.add(this);
    return play.apply(this, options);
  };
}

export function pauseOtherSound() {
  for (const element of elements) element.pause();
  elements.clear();
}

if (typeof HTMLMediaElement !== "undefined") {
  watchPlayback(HTMLMediaElement.prototype);
  // The form folds, and its controls are gone with it.
  document.addEventListener("click", (event) => event.target.closest?.("#separate") && pauseOtherSound(), true);
}
