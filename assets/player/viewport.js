// The part of the song that is shown: all of it, or a part that is zoomed in on. Positions are shares of the song, 0 to 1.

const SHORTEST = 0.5; // seconds from edge to edge at the highest zoom

export class Viewport {
  constructor() {
    this.from = 0;
    this.to = 1;
    this.shortest = 1;
  }

  setDuration(seconds) {
    this.shortest = Math.min(1, SHORTEST / seconds);
  }

  get length() {
    return this.to - this.from;
  }

  get isZoomed() {
    return this.length < 1 - 1e-9;
  }

  // Show a range, moved inside the song and widened to the highest zoom if necessary. Returns whether anything changed.
  show(from, to) {
    const length = Math.max(this.shortest, Math.min(1, to - from));
    const start = Math.max(0, Math.min(1 - length, from));
    const changed = start !== this.from || start + length !== this.to;
    this.from = start;
    this.to = start + length;
    return changed;
  }

  // Zoom in by a factor above 1, or out by one below, keeping the position `around` in its place.
  zoom(factor, around = this.from + this.length / 2) {
    const length = Math.max(this.shortest, Math.min(1, this.length / factor));
    const from = around - ((around - this.from) / this.length) * length;
    return this.show(from, from + length);
  }

  // Move by a share of what is shown.
  scroll(pages) {
    const step = pages * this.length;
    const from = Math.max(0, Math.min(1 - this.length, this.from + step));
    return this.show(from, from + this.length);
  }

  // Turn the page when the position leaves the view. Returns whether anything changed.
  follow(position) {
    if (!this.isZoomed || (position >= this.from && position < this.to)) return false;
    const from = position - 0.05 * this.length;
    return this.show(from, from + this.length);
  }

  // Where a position lies in the view: 0 at its left edge, 1 at its right edge.
  place(position) {
    return (position - this.from) / this.length;
  }

  // The position at a place in the view.
  position(place) {
    return this.from + place * this.length;
  }
}
