// The bar below the stems: downloads of the mix, of stems and of the archive, and the link to the result.

import { callApi, make } from "./dom.js";
import { expiryNote } from "./expiry.js";
import { word } from "./i18n.js";
import { stemLabel } from "./stems.js";

const FORMATS = {
  wav24: "WAV 24",
  wav16: "WAV 16",
  wav32: "WAV 32 float",
  flac: "FLAC",
  mp3: "MP3",
  stem: ".stem.mp4",
};

export function downloadBar(player) {
  const content = make(
    "select",
    { "aria-label": word("keep_what"), id: player.elementId("keep-what") },
    make("option", { value: "mix" }, word("keep_mix")),
    make("option", { value: "all" }, word("keep_all")),
    ...player.names
      .filter((name) => name !== "mixture")
      .map((name) => make("option", { value: `stem:${name}` }, stemLabel(name))),
  );
  const format = make(
    "select",
    {
      "aria-label": word("keep_as"), id: player.elementId("keep-as"),
      onchange: () => (content.disabled = format.value === "stem"), // .stem.mp4 always holds all stems
    },
    ...Object.entries(FORMATS).map(([value, text]) => make("option", { value }, text)),
  );
  const status = make("span", { role: "status" });
  const start = (event) => download(player, event.target, content.value, format.value, status);
  const copy = (event) => copyLink(player, event, status);
  const { archive } = player.groups.get(player.method).details ?? {};
  return make(
    "div",
    { class: "keep" },
    make("button", { id: player.elementId("keep"), onclick: start }, word("keep")),
    content,
    format,
    archive ? archiveLink(player.base, archive, player.elementId("zip")) : null,
    make("a", { class: "link", id: player.elementId("link"), href: String(player.link), onclick: copy }, word("link")),
    expiryNote(player.getAttribute("token"), () => player.session.check()),
    status,
  );
}

function archiveLink(base, archive, id) {
  const address = base + archive.split("/").map(encodeURIComponent).join("/"); // a song's name may hold a #
  return make("a", { class: "zip", id, href: address, download: archive.split("/").pop() }, word("zip"));
}

// Let the studio write the file, then download it.
export async function download(player, button, what, format, status) {
  button.disabled = true;
  status.textContent = word("working");
  try {
    const order = { what, method: player.method, gains: player.gains, format };
    const file = await callApi("keep", player.getAttribute("token"), JSON.stringify(order));
    const name = decodeURIComponent(file.split("/").pop());
    make("a", { href: file, download: name }).click();
    status.textContent = name;
  } catch (error) {
    status.textContent = error.message;
  }
  button.disabled = false;
}

// Copy the link to the clipboard. Without permission, follow it like any other link.
function copyLink(player, event, status) {
  if (!navigator.clipboard) return;
  event.preventDefault();
  navigator.clipboard.writeText(String(player.link)).then(
    () => (status.textContent = word("copied")),
    () => window.location.assign(player.link),
  );
}
