// What Gradio says in English only, in the page's language: names for screen readers, hints and messages.
// The language files hold them under "gradio." and the English words.

{
  const { en } = window.stemscopeWords;
  const words = { ...en, ...window.stemscopeWords[window.stemscopeLanguage] };
  const known = Object.keys(en).filter((key) => key.startsWith("gradio.")).map((key) => key.slice("gradio.".length));
  const exact = ["aria-label", "title"].flatMap((name) => known.map((text) => `[${name}="${text}"]`));
  const about = ["number input for ", "range slider for "]; // and the name of the field, which is enough
  const selector = [...exact, ...about.map((start) => `[aria-label^="${start}"]`)].join();

  const messages = [".toast-title", "[data-testid=toast-text]"].flatMap((part) => [part, `${part} *`]).join();

  const translate = () => {
    for (const part of document.querySelectorAll(selector)) {
      for (const name of ["aria-label", "title"]) {
        const text = part.getAttribute(name);
        const said = words[`gradio.${text}`] ?? about.reduce((rest, start) => rest.replace(start, ""), text ?? "");
        if (said && said !== text) part.setAttribute(name, said);
      }
    }
    for (const part of document.querySelectorAll(messages)) {
      for (const node of part.childNodes) {
        const said = node.nodeType === Node.TEXT_NODE && words[`gradio.${node.data.trim()}`];
        if (said && said !== node.data.trim()) node.data = said;
      }
    }
    // The hints of choices are their values for the server.
    for (const choice of document.querySelectorAll(".block label > input[title]")) choice.removeAttribute("title");
  };

  let isPlanned = false;
  new MutationObserver((changes) => {
    if (isPlanned || !changes.some(({ addedNodes }) => [...addedNodes].some((node) => node.nodeType === 1))) return;
    isPlanned = true;
    requestAnimationFrame(() => {
      isPlanned = false;
      translate();
    });
  }).observe(document, { childList: true, subtree: true });
}
