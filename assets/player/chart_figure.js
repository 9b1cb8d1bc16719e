// A chart on the page with its title, legend and downloads. It is drawn again when its width changes.

import { chartDownloads } from "./chart_files.js";
import { make } from "./dom.js";
import { scrollable } from "./scrollable.js";

const POINTER_REACH = 14; // how near the pointer must be to a point, in pixels

// Create a figure. `render(width)` returns a chart {width, height, markup, points, table}; `pick(point)` is called when
// a point with a key is clicked; `name` is the name of its files.
export function chartFigure({ title, name, render, legend = null, note = "", pick = null, overlay = null, heading = "h3" }) {
  const place = make("div", { class: "chart-place" });
  const tip = make("div", { class: "chart-tip", "aria-hidden": "true" });
  let chart = null;
  const current = () => ({ svg: place.querySelector("svg"), table: chart.table });
  const head = make("div", { class: "chart-head" }, make(heading, {}, title), chartDownloads(name, current));
  const canvas = overlay ? overlay(place) : scrollable(place, title);
  const figure = make("figure", { class: "chart-figure" }, head, canvas, legend, note ? make("figcaption", {}, note) : null, tip);
  const draw = (width) => {
    chart = render(width);
    place.innerHTML =
      `<svg viewBox="0 0 ${chart.width} ${chart.height}" width="${chart.width}" height="${chart.height}" role="img">` +
      `${chart.markup}<circle class="found" r="6" visibility="hidden"/></svg>`;
    place.firstChild.setAttribute("aria-label", title);
  };
  let last = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (!width || width === last) return;
    last = width;
    draw(width);
  }).observe(canvas);
  listenTo(place, () => chart, { tip, figure, pick });
  return figure;
}

// Return the point nearest to a place: one with `from` and `to` is a horizontal line.
export function nearestPoint(points, x, y, reach = POINTER_REACH) {
  let nearest = null;
  let least = reach;
  for (const point of points) {
    const across = point.from === undefined ? x - point.x : Math.max(point.from - x, 0, x - point.to);
    const distance = Math.hypot(across, y - point.y) + (point.from === undefined ? 0 : 3); // a point wins over a line
    if (distance < least) [nearest, least] = [point, distance];
  }
  return nearest;
}

function listenTo(place, chart, { tip, figure, pick }) {
  const find = (event) => {
    const svg = place.querySelector("svg");
    const box = svg.getBoundingClientRect();
    return nearestPoint(chart().points, event.clientX - box.left, event.clientY - box.top);
  };
  const leave = () => {
    tip.classList.remove("shown");
    place.querySelector(".found")?.setAttribute("visibility", "hidden");
  };
  place.addEventListener("pointermove", (event) => {
    const point = find(event);
    place.classList.toggle("playable", Boolean(point?.key && pick));
    if (!point) return leave();
    const outer = figure.getBoundingClientRect();
    tip.textContent = point.tip;
    tip.classList.add("shown");
    const most = outer.width - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(most, event.clientX - outer.left + 12))}px`;
    tip.style.top = `${event.clientY - outer.top - tip.offsetHeight - 10}px`;
    const ring = place.querySelector(".found");
    ring.setAttribute("visibility", point.from === undefined ? "visible" : "hidden");
    if (point.from === undefined) {
      ring.setAttribute("cx", point.x);
      ring.setAttribute("cy", point.y);
    }
  });
  place.addEventListener("pointerleave", leave);
  place.addEventListener("click", (event) => {
    const point = find(event);
    if (point?.key && pick) pick(point);
  });
}

// Create a legend: each entry is {letter, dash, label, key}, drawn with the line that stands for it.
export function chartLegend(entries, pick = null) {
  const line = (dash) => {
    const svg = make("span", { class: "legend-line", "aria-hidden": "true" });
    svg.innerHTML = `<svg width="30" height="10"><line x1="0" x2="30" y1="5" y2="5"${dash ? ` stroke-dasharray="${dash}"` : ""}/></svg>`;
    return svg;
  };
  const items = entries.map(({ letter, dash, label, key }) => {
    const content = [line(dash), make("b", {}, letter), label];
    return pick ? make("button", { type: "button", onclick: () => pick(key) }, ...content) : make("span", {}, ...content);
  });
  return make("div", { class: "chart-legend" }, ...items);
}
