// The name of an uploaded or recorded song beside its length, in place of Gradio's player of it.

const form = element.closest("#form");

function showName() {
  const song = document.querySelector("#upload .waveform-container")?.parentElement;
  const name = form.querySelector("#choice strong")?.textContent ?? "";
  if (song && song.dataset.song !== name) song.dataset.song = name;
}

new MutationObserver(showName).observe(form, { subtree: true, childList: true });
showName();
