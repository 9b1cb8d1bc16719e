// Wide content in a narrow place: it can be scrolled by touch, wheel and keys, and fades out where there is more.

import { make } from "./dom.js";

export function scrollable(content, label) {
  const area = make("div", { class: "scrollable", tabindex: 0, role: "region", "aria-label": label }, content);
  const mark = () => {
    const passed = Math.abs(area.scrollLeft); // negative where lines run from right to left
    const before = passed > 2;
    const after = passed < area.scrollWidth - area.clientWidth - 2;
    area.dataset.more = before && after ? "both" : before ? "before" : after ? "after" : "none";
  };
  area.addEventListener("scroll", mark, { passive: true });
  const observer = new ResizeObserver(mark);
  observer.observe(area);
  observer.observe(content);
  return area;
}
