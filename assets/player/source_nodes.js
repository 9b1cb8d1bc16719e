// Audio nodes that play pieces of tracks as they are, each from its sample on the clock on.

const NOTICE = 0.03; // seconds that the audio thread needs between the scheduling and the start of a source

export class SourceNodes {
  constructor(context, rate) {
    this.context = context;
    this.rate = rate;
    this.sources = new Set();
  }

  // Play a piece of a track, which begins at the sample `begin` of the song, as far as it lies in a pass.
  start(track, buffer, begin, pass) {
    let from = Math.max(begin, pass.from);
    const to = Math.min(begin + buffer.length, pass.to);
    let when = pass.when + from - pass.from;
    const earliest = Math.ceil((this.context.currentTime + NOTICE) * this.rate);
    if (when < earliest) {
      from += earliest - when; // a late piece starts where the other tracks are
      when = earliest;
    }
    if (from >= to) return;
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(track.gain);
    source.start(when / this.rate, (from - begin) / this.rate, (to - from) / this.rate);
    if (this.context.currentTime * this.rate >= when) {
      source.stop(); // on a busy machine the start was scheduled too late, so it would lag behind the others
      this.start(track, buffer, begin, pass);
      return;
    }
    source.onended = () => this.sources.delete(source);
    this.sources.add(source);
  }

  // Stop all pieces at a sample of the clock.
  stop(when) {
    for (const source of this.sources) source.stop(when / this.rate);
    this.sources.clear();
  }
}
