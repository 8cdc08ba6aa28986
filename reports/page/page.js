// Links open what they lead to; tables can be sorted by any column: each header gets a button that a keyboard reaches
// and a screen reader names.
"use strict";
function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
reveal();
function key(cell) {
  if (cell.dataset.key !== undefined) return Number(cell.dataset.key);
  const text = cell.textContent.trim().replaceAll("\u2212", "-");
  const number = /^-?[\d,]*\.?\d+(?:e[+-]?\d+)?/i.exec(text);
  return number ? Number(number[0].replaceAll(",", "")) : text.toLowerCase();
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].map((row, place) => ({ row, place, key: key(row.cells[column]) }));
      rows.sort((a, b) => (up ? 1 : -1) * compare(a.key, b.key) || a.place - b.place);
      table.tBodies[0].append(...rows.map((entry) => entry.row));
    });
  });
}
