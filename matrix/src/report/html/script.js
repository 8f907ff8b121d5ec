"use strict";
// Fades the other cells while one is pointed at.
(() => {
  for (const svg of document.querySelectorAll("svg")) {
    const all = [...svg.querySelectorAll("[data-series]")];
    const fade = (name) => all.forEach((one) => {
      one.classList.toggle("away", name !== undefined && one.dataset.series !== name);
    });
    svg.addEventListener("pointerover", (event) => {
      const own = event.target.closest("[data-series]");
      fade(own === null ? undefined : own.dataset.series);
    });
    svg.addEventListener("pointerleave", () => fade(undefined));
  }
})();
