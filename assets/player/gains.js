// Changes of gain without clicks.

const RAMP = 0.012; // seconds of a change: long enough for no click, too short to be heard as a fade
const EDGE = 0.004; // seconds around a moment in which the sound fades in or out

// Change a gain, an AudioParam of a context, from now on.
export function rampGain(context, gain, value) {
  const now = context.currentTime;
  if (gain.cancelAndHoldAtTime) gain.cancelAndHoldAtTime(now);
  else {
    gain.cancelScheduledValues(now);
    gain.setValueAtTime(gain.value, now);
  }
  gain.setValueAtTime(gain.value, now);
  gain.linearRampToValueAtTime(value, now + RAMP);
}

// Fade to 1 or 0 around the time `when` in seconds.
export function fadeGain(context, gain, value, when) {
  const now = context.currentTime;
  const begin = Math.max(now, when - EDGE);
  gain.cancelScheduledValues(value ? begin : now); // a fade-out goes on until the fade-in begins
  gain.setValueAtTime(value ? 0 : gain.value, begin);
  gain.linearRampToValueAtTime(value, Math.max(now, when) + EDGE);
}
