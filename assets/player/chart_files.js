// Charts as files: SVG and PNG that look as on the page, and their numbers as CSV.

import { make } from "./dom.js";

const SAVED_STYLES = ["fill", "fill-opacity", "stroke", "paint-order", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "font-weight"];

// Return CSV of a table {head, rows}. Text that a spreadsheet would take for a formula begins with an apostrophe.
export function toCsv({ head, rows }) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(Math.round(value * 1e6) / 1e6);
    const plain = /^[=+\-@\t]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  return [head, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

// Return a chart on the page as an SVG file that needs no style sheet.
function standaloneSvg(chart) {
  const copy = chart.cloneNode(true);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.querySelector(".found")?.remove();
  const drawn = [...chart.querySelectorAll("*:not(.found)")];
  [...copy.querySelectorAll("*")].forEach((element, index) => {
    const computed = getComputedStyle(drawn[index]);
    element.setAttribute("style", SAVED_STYLES.map((name) => `${name}:${computed.getPropertyValue(name)}`).join(";"));
    element.removeAttribute("class");
  });
  const ground = getComputedStyle(document.body).backgroundColor;
  const { fontFamily, fontSize } = getComputedStyle(chart);
  copy.setAttribute("style", `font-family:${fontFamily};font-size:${fontSize};background:${ground}`);
  const { width, height } = chart.viewBox.baseVal;
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ width, height, fill: ground })) paper.setAttribute(name, value);
  copy.prepend(paper);
  return new XMLSerializer().serializeToString(copy);
}

// Return the PNG of an SVG file with two pixels per unit.
async function pngOf(svg, { width, height }) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = make("canvas", { width: 2 * width, height: 2 * height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

export function saveCsv(table, name) {
  saveBlob(new Blob([toCsv(table)], { type: "text/csv;charset=utf-8" }), `${name}.csv`);
}

// Create the buttons that save a figure; `current()` returns the SVG element and its table.
export function chartDownloads(name, current) {
  const actions = {
    SVG: ({ svg }) => saveBlob(new Blob([standaloneSvg(svg)], { type: "image/svg+xml" }), `${name}.svg`),
    PNG: async ({ svg }) => saveBlob(await pngOf(standaloneSvg(svg), svg.viewBox.baseVal), `${name}.png`),
    CSV: ({ table }) => saveCsv(table, name),
  };
  const buttons = Object.entries(actions).map(([format, save]) =>
    make("button", { type: "button", "aria-label": `${name}.${format.toLowerCase()}`, onclick: () => save(current()) }, format),
  );
  return make("span", { class: "chart-downloads" }, ...buttons);
}
