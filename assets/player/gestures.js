// Zooming and scrolling with the wheel and with two fingers.

// `area` spans the part that is shown; `session` is zoomed.
export function addZoomGestures(area, session) {
  const positionAt = (x) => {
    const box = area.getBoundingClientRect();
    return session.viewport.position(Math.max(0, Math.min(1, (x - box.left) / box.width)));
  };
  area.addEventListener(
    "wheel",
    (event) => {
      const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (event.ctrlKey || event.metaKey || event.altKey) {
        session.zoom(Math.exp(-event.deltaY / (event.deltaMode ? 10 : 300)), positionAt(event.clientX));
      } else if (isSideways && session.viewport.isZoomed) {
        session.scroll((event.deltaX || event.deltaY) / area.clientWidth);
      } else return; // the page scrolls
      event.preventDefault();
    },
    { passive: false },
  );
  addPinch(area, session, positionAt);
}

function addPinch(area, session, positionAt) {
  const fingers = new Map(); // pointer id -> x
  const spread = () => Math.max(20, Math.abs([...fingers.values()].reduce((one, other) => one - other)));
  area.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") fingers.set(event.pointerId, event.clientX);
  });
  area.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = fingers.size === 2 ? spread() : null;
    fingers.set(event.pointerId, event.clientX);
    if (!before) return;
    const middle = [...fingers.values()].reduce((one, other) => one + other) / 2;
    session.zoom(spread() / before, positionAt(middle));
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
    area.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
}
