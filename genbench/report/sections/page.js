"use strict";
(function () {
  const root = document.documentElement;
  const KEY = "genbench-theme";
  const kept = { get() { try { return localStorage.getItem(KEY); } catch { return null; } }, set(value) { try { localStorage.setItem(KEY, value); } catch { /* a page of a file may have no storage */ } } };
  const before = kept.get();
  if (before === "dark" || before === "light") root.dataset.theme = before;

  function theme() {
    const button = document.getElementById("theme");
    const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const show = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", dark() ? "Light theme" : "Dark theme"); };
    button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; kept.set(root.dataset.theme); show(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    button.hidden = false;
    show();
  }

  function sorting(table) {
    const body = table.tBodies[0];
    const first = Array.from(body.rows);
    const value = (row, column) => {
      const cell = row.cells[column];
      const text = cell.dataset.value !== undefined ? cell.dataset.value : cell.textContent.trim();
      const found = text === "" ? NaN : Number(text);
      return Number.isNaN(found) ? text.toLowerCase() : found;
    };
    const compare = (a, b) => {
      if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1;
      if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
      return typeof a === "number" ? -1 : 1;
    };
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      if (head.hasAttribute("data-plain")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const was = head.getAttribute("aria-sort");
        const now = was === "ascending" ? "descending" : was === "descending" ? null : "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        let rows = first.slice();
        if (now) {
          head.setAttribute("aria-sort", now);
          const sign = now === "ascending" ? 1 : -1;
          rows.sort((a, b) => {
            const x = value(a, column), y = value(b, column);
            return x === "" || y === "" ? compare(x, y) : sign * compare(x, y);
          });
        }
        body.append(...rows);
      });
    });
  }

  function zooming() {
    const dialog = document.getElementById("zoom");
    const place = document.getElementById("zoom-place");
    const words = document.getElementById("zoom-words");
    let picture = null, times = 1, wide = 1;
    const size = () => { picture.width = wide * times; picture.removeAttribute("height"); };
    const change = (by) => { if (!by) { dialog.close(); return; } times = Math.max(1, Math.min(16, by > 0 ? times + Math.ceil(times / 4) : times - Math.ceil(times / 5))); size(); };
    document.querySelectorAll("img.sheet").forEach((image) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "zoom";
      button.setAttribute("aria-label", "Enlarge: " + image.alt);
      image.replaceWith(button);
      button.append(image);
      button.addEventListener("click", () => {
        picture = image.cloneNode();
        wide = image.naturalWidth || image.width;
        times = Math.max(1, Math.floor((innerWidth - 48) / wide));
        size();
        place.replaceChildren(picture);
        words.textContent = image.alt;
        dialog.showModal();
        place.focus();
      });
    });
    dialog.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => change(Number(button.dataset.zoom))));
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "+" || event.key === "=") change(1);
      else if (event.key === "-") change(-1);
      else return;
      event.preventDefault();
    });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }

  addEventListener("DOMContentLoaded", () => {
    theme();
    document.querySelectorAll("table.sortable").forEach(sorting);
    zooming();
    addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
  });
})();
