"use strict";
/* Language and theme, and the start of the page. Both are in the address (#zh, #dark), so that a link keeps them. */
(function () {
  const C = window.Crossent;
  const wanted = () => window.location.hash.slice(1).split(",");

  function speak(language) {
    const word = C.words[language];
    C.language = language;
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title = word.title;
    for (const node of document.querySelectorAll("[data-word]")) node.textContent = word[node.dataset.word];
    C.batch.build();
    C.binary.show();
    C.training.show();
  }

  function paint(theme) {
    document.documentElement.dataset.theme = theme;
    C.training.show();
  }

  function keep() {
    const parts = [C.language, document.documentElement.dataset.theme];
    history.replaceState(null, "", `#${parts.join()}`);
  }

  function start() {
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    const asked = ["light", "dark"].find((theme) => wanted().includes(theme));
    document.documentElement.dataset.theme = asked || (system.matches ? "dark" : "light");
    C.language = wanted().includes("zh") || (!wanted().includes("en") && navigator.language.startsWith("zh")) ? "zh" : "en";
    for (const part of [C.batch, C.binary, C.training]) part.listen();
    C.training.restart();
    speak(C.language);
    if (!asked) system.addEventListener("change", () => paint(system.matches ? "dark" : "light"));
    document.getElementById("language").addEventListener("click", () => { speak(C.language === "en" ? "zh" : "en"); keep(); });
    document.getElementById("theme").addEventListener("click", () => {
      paint(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
      keep();
    });
  }

  start();
})();
