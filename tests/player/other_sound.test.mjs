import assert from "node:assert/strict";
import test from "node:test";

import { pauseOtherSound, watchPlayback } from "../../assets/player/other_sound.js";

class Media {
  paused = true;
  async play() {
    this.paused = false;
    return "playing";
  }
  pause() {
    this.paused = true;
  }
}
watchPlayback(Media.prototype);

test("whatever plays is paused, and can play again", async () => {
  const [one, other] = [new Media(), new Media()];
  assert.equal(await one.play(), "playing");
  pauseOtherSound();
  assert.equal(one.paused, true);
  await Promise.all([one.play(), other.play()]);
  pauseOtherSound();
  assert.deepEqual([one.paused, other.paused], [true, true]);
});
