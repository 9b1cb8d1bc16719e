// The English texts for modules under test; to be imported before them.

import { readFileSync } from "node:fs";

const english = JSON.parse(readFileSync(new URL("../../assets/languages/en.json", import.meta.url), "utf-8"));
globalThis.stemscopeWords = { en: { ...english, method_ours: "Ours", method_theirs: "Theirs", method_mix: "Mix" } };
