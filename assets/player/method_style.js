// The line style and the letter that stand for a method in every chart of a page; colours stand for stems.

const METHOD_DASHES = ["", "7 4", "2 3", "10 3 2 3", "1 5", "12 5"];

// Return the letter and the dash pattern of the method at a position of the page's list.
export function methodStyle(index) {
  const letter = String.fromCharCode(65 + (index % 26)) + (index < 26 ? "" : Math.floor(index / 26));
  return { letter, dash: METHOD_DASHES[index % METHOD_DASHES.length] };
}

const KNOWN_STEMS = ["vocals", "drums", "bass", "other", "accompaniment", "guitar", "piano", "residual", "mixture"];
const SAME_STEM = { instrumental: "accompaniment" };

// Return the property with the colour of a stem. Custom stems take turns with the colours of the four usual ones.
export function stemProperty(name, index = 0) {
  const known = SAME_STEM[name] ?? name;
  return `--player-${KNOWN_STEMS.includes(known) ? known : KNOWN_STEMS[index % 4]}`;
}

// Return the colour of a stem for SVG.
export function stemColour(name, index) {
  return `var(${stemProperty(name, index)})`;
}
