// Helpers for elements and for calls of the studio's API.

import { sentence, word } from "./i18n.js";

// Create an element: make("button", {class: "x", onclick: f, "aria-label": "..."}, child, "text").
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// Create a table from the cells of its head and of its rows.
export function makeTable(head, rows, attributes = {}) {
  const line = (cells) => make("tr", {}, ...cells);
  return make("table", attributes, make("thead", {}, line(head)), make("tbody", {}, ...rows.map(line)));
}

// Call an endpoint of the studio's public API and return its first output.
export async function callApi(endpoint, ...data) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ data }) };
  const response = await fetch(`gradio_api/call/${endpoint}`, post);
  if (!response.ok) throw new Error(`${response.status}`);
  const { event_id: id } = await response.json();
  const events = await (await fetch(`gradio_api/call/${endpoint}/${id}`)).text();
  const end = events.split("\n\n").findLast((event) => /^event: (complete|error)/.test(event)) ?? "";
  const content = /^data: (.*)$/m.exec(end)?.[1];
  if (!end.startsWith("event: complete")) throw new Error(sentence(JSON.parse(content ?? "null")?.error ?? word("failed")));
  return JSON.parse(content)[0];
}
