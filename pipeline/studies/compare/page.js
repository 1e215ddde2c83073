"use strict";

// Sort the table by the column whose heading was selected: the first time upwards, then the other way round.
const table = document.getElementById("table");
const heads = [...table.tHead.rows[0].cells];

function order(a, b) {
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? a.localeCompare(b, "en", { numeric: true }) : difference;
}

function sortBy(column) {
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head, i) => head.setAttribute("aria-sort", i !== column ? "none" : down ? "descending" : "ascending"));
  const value = (row) => row.cells[column].dataset.value;
  const known = [...table.tBodies[0].rows].filter((row) => value(row) !== "");
  const unknown = [...table.tBodies[0].rows].filter((row) => value(row) === "");
  known.sort((a, b) => order(value(a), value(b)) * (down ? -1 : 1));
  table.tBodies[0].append(...known, ...unknown);
}

heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sortBy(column)));
