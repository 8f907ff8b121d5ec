"use strict";
// Everything can be read without this script: it shows one of several parts at a time, and names what is pointed at or has the focus.
(() => {
  const make = (name, properties) => Object.assign(document.createElement(name), properties);

  for (const box of document.querySelectorAll("[data-tabs]")) {
    const panels = [...box.children].filter((panel) => panel.dataset.tab !== undefined);
    if (panels.length < 2) continue;
    const bar = make("div", { className: "tabs" });
    bar.setAttribute("role", "tablist");
    bar.setAttribute("aria-label", box.dataset.tabs);
    const buttons = panels.map((panel) => {
      const button = make("button", { type: "button", textContent: panel.dataset.tab });
      button.setAttribute("role", "tab");
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-label", panel.dataset.tab);
      return button;
    });
    const show = (chosen) => panels.forEach((panel, index) => {
      panel.hidden = index !== chosen;
      buttons[index].setAttribute("aria-selected", String(index === chosen));
      buttons[index].tabIndex = index === chosen ? 0 : -1;
    });
    buttons.forEach((button, index) => {
      button.addEventListener("click", () => show(index));
      button.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step === undefined) return;
        const next = (index + step + buttons.length) % buttons.length;
        show(next);
        buttons[next].focus();
      });
    });
    bar.append(...buttons);
    box.prepend(bar);
    show(0);
  }

  // The browser's own tip would come late, and beside ours.
  for (const title of document.querySelectorAll(".mark > title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.parentNode.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  const tip = make("div", { id: "tip", hidden: true });
  document.body.append(tip);
  const name = (target, x, y) => {
    const mark = target.closest ? target.closest("[data-tip]") : null;
    tip.hidden = mark === null;
    if (mark === null) return;
    tip.textContent = mark.dataset.tip;
    const room = (size, at, whole) => Math.max(4, at + 14 + size > whole ? at - size - 14 : at + 14);
    tip.style.left = room(tip.offsetWidth, x, innerWidth) + "px";
    tip.style.top = room(tip.offsetHeight, y, innerHeight) + "px";
  };
  document.addEventListener("pointermove", (event) => name(event.target, event.clientX, event.clientY));
  document.addEventListener("focusin", (event) => {
    const box = event.target.getBoundingClientRect();
    name(event.target, Math.max(0, box.left), box.bottom);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
})();
