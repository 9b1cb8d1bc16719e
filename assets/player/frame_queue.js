// Drawing that is spread over animation frames, so that no frame takes long.

const FRAME_BUDGET = 8; // milliseconds of drawing per frame

// Calls `draw(item)` for each item that was added, as many per frame as fit into the budget but at least one.
export class FrameQueue {
  #items = new Set();
  #frame = null;

  constructor(draw, { schedule = (action) => requestAnimationFrame(action), clock = () => performance.now() } = {}) {
    Object.assign(this, { draw, schedule, clock });
  }

  // Items that wait already keep their place, so that every item is drawn even if all are added in every frame.
  add(items) {
    for (const item of items) this.#items.add(item);
    this.#schedule();
  }

  clear() {
    this.#items.clear();
  }

  #schedule() {
    if (this.#items.size) this.#frame ??= this.schedule(() => this.#drawSome());
  }

  #drawSome() {
    this.#frame = null;
    const began = this.clock();
    for (const item of [...this.#items]) {
      this.#items.delete(item);
      this.draw(item);
      if (this.clock() - began >= FRAME_BUDGET) break;
    }
    this.#schedule();
  }
}
