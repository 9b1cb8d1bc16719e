// When the link of a result expires, as the server tells it.

import { callApi, make } from "./dom.js";
import { word } from "./i18n.js";

const ASK_AGAIN = 60_000; // milliseconds; the hour begins again while the studio works on a result

// The time of day at which the link expires, and how long that is from now; `seconds` are those that are left.
export function expiryText(seconds, now = new Date(), language = navigator.language) {
  const end = new Date(now.getTime() + 1000 * seconds);
  const time = end.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
  const minutes = Math.floor(seconds / 60);
  return word("expires", { time, span: word("minutes_span", { minutes: Math.max(1, minutes) }) });
}

// A note that asks the server now and once a minute while it is on the page, and calls `onDoubt` without an answer.
export function expiryNote(token, onDoubt) {
  const note = make("span", { class: "expires" });
  const ask = async () => {
    try {
      note.textContent = expiryText(await callApi("expiry", token));
    } catch {
      note.textContent = "";
      onDoubt(); // the server does not answer, or the result is gone
    }
  };
  const timer = setInterval(() => (note.isConnected ? ask() : clearInterval(timer)), ASK_AGAIN);
  ask();
  return note;
}
