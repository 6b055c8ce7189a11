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

function sortBy(table, column, sign) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(a, b, column, sign));
  table.tBodies[0].append(...rows);
}

// A page that reloads itself keeps the order of its tables while its tab is open. It is not put into the
// address: a browser may take a reload with a fragment for a jump within the page.
const reloads = document.querySelector("meta[http-equiv=refresh]") !== null;

function placeOf(table) {
  return `rbinfer order ${location.pathname} ${table.id}`;
}

function keepOrder(table, column, sign) {
  try {
    sessionStorage.setItem(placeOf(table), JSON.stringify([column, sign]));
  } catch {
    // A browser may refuse to store anything.
  }
}

function keptOrder(table) {
  try {
    return JSON.parse(sessionStorage.getItem(placeOf(table))) ?? [];
  } catch {
    return [];
  }
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      sortBy(table, column, sign);
      if (reloads) {
        keepOrder(table, column, sign);
      }
    });
  });
  const [column, sign] = reloads ? keptOrder(table) : [];
  if (column < heads.length) {
    sortBy(table, column, sign);
  }
}
