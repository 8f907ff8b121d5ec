"use strict";
// Everything can be read without this script: it shows what is known of one span at a time, and moves the focus with the arrow keys.
(() => {
  for (const svg of document.querySelectorAll("svg")) {
    const bars = [...svg.querySelectorAll(".bar")];
    const middle = (bar) => { const box = bar.getBBox(); return { x: box.x + box.width / 2, y: box.y + box.height / 2, box }; };
    if (bars.length > 0) bars[0].setAttribute("tabindex", "0");

    const focus = (bar) => {
      bars.forEach((other) => other.setAttribute("tabindex", other === bar ? "0" : "-1"));
      bar.focus();
    };

    // The nearest bar in that direction: within a row the next one, between rows the one most nearly above or below.
    const next = (from, key) => {
      const own = middle(from);
      const isUpright = key === "ArrowUp" || key === "ArrowDown";
      const sign = key === "ArrowUp" || key === "ArrowLeft" ? -1 : 1;
      let found = null, best = Infinity;
      for (const bar of bars) {
        if (bar === from) continue;
        const other = middle(bar);
        const along = isUpright ? (other.y - own.y) * sign : (other.x - own.x) * sign;
        if (along <= 0.5 || (!isUpright && Math.abs(other.y - own.y) > 4)) continue;
        const overlap = Math.min(own.box.x + own.box.width, other.box.x + other.box.width) - Math.max(own.box.x, other.box.x);
        const across = isUpright ? Math.max(0, -overlap) : 0;
        const distance = along * (isUpright ? 1000 : 1) + across;
        if (distance < best) { best = distance; found = bar; }
      }
      return found;
    };

    svg.addEventListener("keydown", (event) => {
      const bar = event.target.closest(".bar");
      if (bar === null || !event.key.startsWith("Arrow")) return;
      event.preventDefault();
      const found = next(bar, event.key);
      if (found !== null) focus(found);
    });
  }

  for (const trace of document.querySelectorAll(".trace")) {
    const articles = [...trace.querySelectorAll("article")];
    const bars = [...trace.querySelectorAll("[data-about]")];
    const show = (bar) => {
      articles.forEach((article) => { article.hidden = article.id !== bar.dataset.about; });
      bars.forEach((other) => other.classList.toggle("chosen", other === bar));
    };
    bars.forEach((bar) => {
      bar.addEventListener("focus", () => show(bar));
      bar.addEventListener("click", () => bar.focus());
    });
    if (bars.length > 0) show(bars[0]);
  }
})();
