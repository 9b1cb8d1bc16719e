// Gradio 6.31 never stops the clock of its loading screen, which asks for every frame for as long as the page is open
// and keeps a tenth of a core busy. Its clocks show tenths of a second at most: a few frames per second are enough.
{
  const CLOCK = /performance\.now\(\)\s*-.*\/\s*1e3/; // of a short callback, the sign of a clock
  const INTERVAL = 250; // ms
  const nextFrame = window.requestAnimationFrame.bind(window);
  const isClock = (callback) => {
    const text = String(callback);
    return text.length < 200 && CLOCK.test(text);
  };

  window.requestAnimationFrame = (callback) =>
    isClock(callback) ? setTimeout(() => callback(performance.now()), INTERVAL) : nextFrame(callback);
}
