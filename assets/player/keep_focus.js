// The focus stays on the page: when what has it is removed, hidden or disabled, the place that takes over gets it.

const SUCCESSORS = { stop: "status", "go-on": "status" }; // id of a button -> id of what tells of its effect

// Return where the focus goes from an element that had these ids, its own and those of what it was in, from the inside
// outwards: to the first that is there, or is there again after a new rendering.
export function successor(ids, isUsable) {
  return ids.map((id) => SUCCESSORS[id] ?? id).find(isUsable) ?? null;
}

function idsOf(element) {
  const ids = [];
  for (let each = element; each; each = each.parentElement) if (each.id) ids.push(each.id);
  return ids;
}

const isUsable = (element) => Boolean(element?.isConnected && !element.disabled && element.checkVisibility());
const isControl = (element) => element.tabIndex >= 0;
const isFocusable = (element) => isControl(element) || element.hasAttribute("tabindex"); // which Gradio may remove

class FocusKeeper {
  constructor() {
    this.last = null; // the element that has, or had, the focus
    this.isPressed = false; // something, with a pointer, since that element got the focus
    document.addEventListener("pointerdown", () => (this.isPressed = true), true);
    document.addEventListener("focusin", ({ target }) => this.#note(target));
    document.addEventListener("focusout", () => setTimeout(() => this.#look()));
    new MutationObserver(() => this.#look()).observe(document, { subtree: true, childList: true });
  }

  #note(element) {
    this.last = element;
    this.isPressed = false;
    this.ids = idsOf(element);
  }

  #look() {
    if (this.last === null || document.activeElement !== document.body) return;
    if (isUsable(this.last) && isFocusable(this.last)) {
      if (isControl(this.last) || this.isPressed) this.last = null; // the visitor has left it
      else this.last.focus({ preventScroll: true }); // Gradio took its tabindex, and somebody has put it back
      return;
    }
    const id = successor(this.ids, (each) => isUsable(document.getElementById(each)));
    if (id === null) return;
    const element = document.getElementById(id);
    if (!isFocusable(element)) element.setAttribute("tabindex", "-1");
    element.focus({ preventScroll: true });
  }
}

if (typeof document !== "undefined") new FocusKeeper();
