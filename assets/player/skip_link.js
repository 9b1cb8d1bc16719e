// The link that skips to the page: to what the visible page begins with, wherever the tabs have led.

const isVisible = (element) => element.getClientRects().length > 0;

// Return what to read next: the introduction or the result on Separate, else the page as a whole.
function beginning() {
  const panel = [...document.querySelectorAll("[role=tabpanel]")].find(isVisible);
  return [...(panel?.querySelectorAll("#main, #result") ?? [])].find(isVisible) ?? panel;
}

function skipToPage(event) {
  const target = event.target.closest?.("a.skip") && beginning();
  if (!target) return;
  event.preventDefault();
  target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: true });
  target.scrollIntoView({ block: "start" });
}

if (typeof document !== "undefined") document.addEventListener("click", skipToPage);
