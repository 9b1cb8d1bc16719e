// The language of the page: the one that the browser wants most, as for the server and for Gradio, or English.

{
  const wanted = (navigator.language || "en").split("-")[0].toLowerCase();
  window.stemscopeLanguage = wanted in window.stemscopeWords ? wanted : "en";
  document.documentElement.lang = window.stemscopeLanguage;
  document.documentElement.dir = window.stemscopeWords[window.stemscopeLanguage].direction ?? "ltr";
}
