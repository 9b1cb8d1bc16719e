// The mix: which stems are heard, and how loud. It is kept when the method changes.

import { isStem } from "./stems.js";

export class Mix {
  #states = new Map(); // name -> {muted, solo, volume}

  // The state of a stem; at first all stems are heard, and the residual and the mixture are not.
  state(name) {
    if (!this.#states.has(name)) this.#states.set(name, { muted: !isStem(name), solo: false, volume: 1 });
    return this.#states.get(name);
  }

  // The gains of the audible ones among `names`, {name: gain}. Solos of other stems are ignored.
  gains(names) {
    const solos = names.filter((name) => this.state(name).solo);
    const audible = solos.length ? solos : names.filter((name) => !this.state(name).muted);
    return Object.fromEntries(audible.map((name) => [name, this.state(name).volume]));
  }

  // Toggle the solo of a stem. Without `add` it replaces all other solos.
  solo(name, names, { add = false } = {}) {
    const state = this.state(name);
    const isOnly = state.solo && names.filter((other) => this.state(other).solo).length === 1;
    if (add) state.solo = !state.solo;
    else {
      this.#clearSolos();
      state.solo = !isOnly;
    }
  }

  soloOnly(name) {
    this.#clearSolos();
    this.state(name).solo = true;
  }

  mute(name) {
    const state = this.state(name);
    state.muted = !state.muted;
  }

  setVolume(name, volume) {
    this.state(name).volume = Math.max(0, Math.min(2, volume));
  }

  // Hear exactly the stems `chosen` among `names`.
  hear(chosen, names) {
    this.#clearSolos();
    for (const name of names) this.state(name).muted = !chosen.includes(name);
  }

  // Return whether exactly the stems `chosen` are heard.
  hears(chosen, names) {
    const audible = Object.keys(this.gains(names));
    return audible.length === chosen.length && chosen.every((name) => audible.includes(name));
  }

  // Hear all stems but one, or all stems if that is the case already.
  without(name, names) {
    const stems = names.filter(isStem);
    const others = stems.filter((other) => other !== name);
    this.hear(this.hears(others, names) ? stems : others, names);
  }

  #clearSolos() {
    for (const state of this.#states.values()) state.solo = false;
  }

  // The states that differ from those at the beginning, for `restore`.
  toJSON() {
    const changed = [...this.#states].filter(([name, { muted, solo, volume }]) => {
      return muted === isStem(name) || solo || volume !== 1;
    });
    return Object.fromEntries(changed);
  }

  // Take over states of a link or of this tab, which may be anything.
  restore(states) {
    for (const [name, { muted, solo, volume }] of Object.entries(states ?? {}).filter(([, state]) => state)) {
      const state = this.state(name);
      if (typeof muted === "boolean") state.muted = muted;
      if (typeof solo === "boolean") state.solo = solo;
      if (Number.isFinite(volume)) this.setVolume(name, volume);
    }
  }
}
