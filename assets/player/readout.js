// What is under the pointer in a spectrogram: time, frequency, note and level.

import { make } from "./dom.js";
import { formatTime } from "./drawing.js";
import { formatNumber } from "./i18n.js";
import { frequencyAt, interpolateColours, levelOfColour, noteName } from "./spectrum.js";

// Show the read-out next to the pointer while it is over the picture.
export function cursorReadout(player, picture) {
  const label = make("output", { class: "readout", hidden: true, "aria-hidden": "true" });
  picture.append(label);
  picture.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const box = picture.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const y = 1 - (event.clientY - box.top) / box.height;
    label.hidden = x < 0 || x > 1 || y < 0 || y > 1;
    if (label.hidden) return;
    const { manifest, viewport, duration } = player;
    const hertz = frequencyAt(y, manifest);
    const level = levelAt(picture, x, y, viewport, manifest);
    const frequency = hertz < 1000 ? `${formatNumber(hertz, 0)} Hz` : `${formatNumber(hertz / 1000, 2)} kHz`;
    const texts = [formatTime(viewport.position(x) * duration), frequency];
    if (hertz < 5000) texts.push(noteName(hertz));
    if (level !== null) texts.push(level <= -79.5 ? "< −79 dB" : `${formatNumber(level, 0)} dB`);
    label.textContent = texts.join(" · ");
    label.classList.toggle("before", x > 0.6);
    label.style.left = `${100 * x}%`;
    label.style.bottom = `${Math.min(78, 100 * y)}%`;
  });
  picture.addEventListener("pointerleave", () => (label.hidden = true));
}

// The level at a place of the picture, in dB relative to the loudest point of the song; null if it is not loaded.
function levelAt(picture, x, y, viewport, manifest) {
  const closer = picture.querySelector("canvas.ready:not([hidden])");
  const image = picture.querySelector("img");
  const source = closer ?? image;
  const [width, height] = closer ? [closer.width, closer.height] : [image.naturalWidth, image.naturalHeight];
  if (!width || !manifest.palette) return null;
  const place = closer ? x : viewport.position(x);
  const pixel = document.createElement("canvas");
  pixel.width = pixel.height = 1;
  const pen = pixel.getContext("2d", { willReadFrequently: true });
  const column = Math.min(width - 1, Math.floor(place * width));
  const row = Math.min(height - 1, Math.floor((1 - y) * height));
  pen.drawImage(source, column, row, 1, 1, 0, 0, 1, 1);
  manifest.colours ??= interpolateColours(manifest.palette);
  return levelOfColour(manifest.colours, [...pen.getImageData(0, 0, 1, 1).data]);
}
