"use strict";

// Sort rows by a column: numbers by data-value, text by what is shown; empty cells stay last.
function compare(a, b, column, sign) {
  const [left, right] = [a, b].map((row) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
  });
  if (left === "" || right === "") {
    return (left === "") - (right === "");
  }
  if (typeof left === "number" && typeof right === "number") {
    return sign * (left - right);
  }
  return sign * String(left).localeCompare(String(right), undefined, { numeric: true });
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => compare(a, b, column, sign));
      table.tBodies[0].append(...rows);
    });
  });
}
