// The method cards: native checkboxes whose checked state is the component's value.

const boxes = () => [...element.querySelectorAll("input[type=checkbox]")];
const chosen = () => boxes().filter((box) => box.checked && !box.disabled).map((box) => box.value);
const wanted = (button) => button.dataset.set.split(" ");
const usable = (names) => names.filter((name) => !boxes().find((box) => box.value === name)?.disabled);
const same = (one, other) => one.length === other.length && one.every((name) => other.includes(name));

function keep() {
  const names = chosen();
  if (!same(names, props.value ?? [])) props.value = names;
  show();
}

// Cards keep their state in properties, which a new rendering of the HTML does not touch.
function show() {
  for (const card of element.querySelectorAll(".method")) {
    const box = card.querySelector("input");
    const lacksTruth = card.dataset.needs === "truth" && props.truth === false;
    box.disabled = card.classList.contains("missing") || lacksTruth;
    card.classList.toggle("lacks-truth", lacksTruth);
    card.classList.toggle("chosen", box.checked && !box.disabled);
  }
  const names = chosen();
  for (const button of element.querySelectorAll(".set"))
    button.setAttribute("aria-pressed", String(names.length > 0 && same(names, usable(wanted(button)))));
  element.dispatchEvent(new Event("chosen", { bubbles: true }));
}

function restore() {
  for (const box of boxes()) box.checked = (props.value ?? []).includes(box.value);
  show();
}

element.addEventListener("change", keep);
element.addEventListener("click", (event) => {
  const set = event.target.closest(".set");
  if (set) {
    const names = usable(wanted(set));
    for (const box of boxes()) box.checked = names.includes(box.value);
    keep();
  }
  const get = event.target.closest(".get");
  if (get) trigger("fetch_model", { method: get.dataset.method });
});
watch("value", restore);
watch(["cards", "truth"], show);
restore();
