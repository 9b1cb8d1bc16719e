// The two ends of the loop, which can be dragged or moved with the arrow keys.

import { make } from "./dom.js";
import { formatTime } from "./drawing.js";
import { word } from "./i18n.js";

const STEP = 0.1; // seconds per arrow key
const SHORTEST_LOOP = 0.06; // seconds

export function addLoopHandles(area, player) {
  for (const end of ["from", "to"]) {
    const handle = make("button", {
      class: `loop-handle ${end}`, role: "slider", id: player.elementId(`loop-${end}`), "aria-label": word(`loop_${end}`),
      "aria-valuemin": 0, hidden: true,
    });
    const move = (seconds, set = (...range) => player.setLoop(...range)) => {
      const { from, to } = player.loopSeconds;
      if (end === "from") set(Math.max(0, Math.min(to - SHORTEST_LOOP, seconds)), to);
      else set(from, Math.min(player.duration, Math.max(from + SHORTEST_LOOP, seconds)));
    };
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      handle.focus();
      handle.setPointerCapture(event.pointerId);
      const drag = (later) => {
        const box = area.getBoundingClientRect();
        const seconds = player.viewport.position((later.clientX - box.left) / box.width) * player.duration;
        move(seconds, (...range) => player.session.previewLoop(...range));
      };
      const drop = () => {
        handle.removeEventListener("pointermove", drag);
        const { from, to } = player.loopSeconds;
        player.setLoop(from, to);
      };
      handle.addEventListener("pointermove", drag);
      handle.addEventListener("lostpointercapture", drop, { once: true });
    });
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      move(player.loopSeconds[end] + (event.shiftKey ? 10 : 1) * step);
    });
    area.append(handle);
    player.handles.push({ handle, end });
  }
}

// Place the handles where the loop is now.
export function showLoopHandles(player) {
  const loop = player.loopSeconds;
  for (const { handle, end } of player.handles) {
    const place = loop && player.viewport.place(loop[end] / player.duration);
    handle.hidden = !loop || place < 0 || place > 1;
    if (handle.hidden) continue;
    handle.style.left = `${100 * place}%`;
    handle.setAttribute("aria-valuemax", player.duration.toFixed(1));
    handle.setAttribute("aria-valuenow", loop[end].toFixed(1));
    handle.setAttribute("aria-valuetext", formatTime(loop[end]));
  }
}
