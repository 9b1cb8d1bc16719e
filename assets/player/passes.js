// Which part of the song is scheduled at which sample of the clock.

// A pass is {when, from, to, speed, pitch}: from the sample `when` of the clock on, the samples from..to of the song.
export class Passes {
  constructor() {
    this.list = [];
  }

  clear() {
    this.list = [];
  }

  add(pass) {
    this.list.push(pass);
    return pass;
  }

  // Cancel the passes that begin at a sample of the clock or later.
  cancel(when) {
    this.list = this.list.filter((pass) => pass.when < when);
  }

  // Forget passes that were over before a sample of the clock.
  forget(before) {
    while (this.list.length > 1 && this.list[1].when < before) this.list.shift();
  }

  get last() {
    return this.list.at(-1);
  }

  // The sample of the clock at which everything has been played.
  get end() {
    const { when, from, to, speed } = this.last;
    return when + (to - from) / speed;
  }

  // The sample of the song at a sample of the clock; null if nothing is scheduled.
  positionAt(now) {
    const pass = this.list.findLast(({ when }) => when <= now) ?? this.list[0];
    if (!pass) return null;
    return Math.max(pass.from, Math.min(pass.to, pass.from + (now - pass.when) * pass.speed));
  }
}
