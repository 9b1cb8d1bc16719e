// Keyboard shortcuts of the visible player, and arrow keys in rows of controls.

const TEXT_FIELDS =
  "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";

// Return true if a key press is meant for this player and not for the control that has the focus.
function isShortcut(player, event) {
  if (!player.offsetParent || !player.manifest || player.session.isGone) return false;
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const target = event.target;
  if (target.closest?.(TEXT_FIELDS)) return false;
  const isOurs = target === document.body || target.closest?.("stem-player") === player || target.closest?.(".stem-dock");
  if (!isOurs) return false;
  if (target.type === "range" && event.key.startsWith("Arrow")) return false;
  return !(event.key === " " && (["BUTTON", "SUMMARY"].includes(target.tagName) || target.type === "checkbox"));
}

export function handleKey(player, event) {
  if (!isShortcut(player, event)) return;
  const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const action = digit ? player.view.digitAction(digit - 1, event.shiftKey) : shortcuts(player, event.shiftKey)[key];
  if (!action) return;
  event.preventDefault();
  action();
}

// Where an arrow key leads in a row of controls: 1 on, -1 back, 0 for other keys. The row may run from right to left.
export function arrowStep({ key }) {
  const [back, on] = document.documentElement.dir === "rtl" ? ["ArrowRight", "ArrowLeft"] : ["ArrowLeft", "ArrowRight"];
  return { [back]: -1, ArrowUp: -1, [on]: 1, ArrowDown: 1 }[key] ?? 0;
}

function shortcuts(player, shift) {
  const { session, viewName } = player;
  const names = viewName === "stems" ? session.names : [];
  const methods = viewName === "blind" ? [] : session.methods;
  const name = names.includes(session.selected) ? session.selected : names[0];
  const switchMethod = (step) => {
    const index = methods.indexOf(session.method) + step;
    session.choose(methods[Math.max(0, Math.min(methods.length - 1, index))]);
  };
  return {
    " ": () => player.toggle(),
    ArrowLeft: () => session.seek(session.seconds - (shift ? 1 : 5)),
    ArrowRight: () => session.seek(session.seconds + (shift ? 1 : 5)),
    l: () => session.toggleLoop(),
    "<": () => session.engine.setSpeed(session.engine.speed - 0.05),
    ">": () => session.engine.setSpeed(session.engine.speed + 0.05),
    ...(name && {
      ArrowUp: () => player.view.changeVolume(name, 0.1),
      ArrowDown: () => player.view.changeVolume(name, -0.1),
      m: () => session.mute(name),
      s: () => session.solo(name, { add: shift }),
      x: () => session.without(name),
    }),
    ...(player.isZoomable && {
      "+": () => session.zoom(1.5),
      "=": () => session.zoom(1.5), // the key of + without Shift
      "-": () => session.zoom(1 / 1.5),
      0: () => session.showAll(),
      ...(session.viewport.isZoomed && {
        PageUp: () => session.scroll(-0.8),
        PageDown: () => session.scroll(0.8),
      }),
    }),
    ...(methods.length && {
      a: () => switchMethod(-1),
      b: () => switchMethod(1),
    }),
  };
}
