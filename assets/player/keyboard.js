// Keyboard shortcuts of the visible player.

const TEXT_FIELDS =
  "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";

// Return true if a key press is meant for this player and not for the control that has the focus.
function isShortcut(player, event) {
  if (!player.offsetParent || !player.manifest || event.ctrlKey || event.metaKey || event.altKey) return false;
  const target = event.target;
  if (target.closest?.(TEXT_FIELDS)) return false;
  if (target !== document.body && target.closest?.("stem-player") !== player) return false;
  if (target.type === "range" && event.key.startsWith("Arrow")) return false;
  return !(event.key === " " && target.tagName === "BUTTON");
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

function shortcuts(player, shift) {
  const names = player.viewName === "stems" ? player.names : [];
  const methods = player.viewName === "blind" ? [] : player.methods;
  const name = names.includes(player.selected) ? player.selected : names[0];
  const switchMethod = (step) => {
    const index = methods.indexOf(player.method) + step;
    player.choose(methods[Math.max(0, Math.min(methods.length - 1, index))]);
  };
  return {
    " ": () => player.toggle(),
    ArrowLeft: () => player.seek(player.seconds - (shift ? 1 : 5)),
    ArrowRight: () => player.seek(player.seconds + (shift ? 1 : 5)),
    l: () => player.toggleLoop(),
    "<": () => player.engine.setSpeed(player.engine.speed - 0.05),
    ">": () => player.engine.setSpeed(player.engine.speed + 0.05),
    ...(name && {
      ArrowUp: () => player.view.changeVolume(name, 0.1),
      ArrowDown: () => player.view.changeVolume(name, -0.1),
      m: () => player.mute(name),
      s: () => player.solo(name, { add: shift }),
      x: () => player.without(name),
    }),
    ...(methods.length && {
      a: () => switchMethod(-1),
      b: () => switchMethod(1),
    }),
  };
}
