"use strict";
// Sorting, filtering and copying; the page says everything without them.

function valueOf(row, column, numeric) {
  const text = row.cells[column].textContent.trim();
  if (!numeric) return text.toLowerCase();
  const number = text.startsWith("inf") ? Infinity : parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(number) ? -Infinity : number;
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sort(table, column, button) {
  const heading = button.parentElement;
  const descending = heading.getAttribute("aria-sort") !== "descending";
  for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const numeric = heading.classList.contains("number");
  const rows = [...body.rows].map((row) => [valueOf(row, column, numeric), row]);
  rows.sort((a, b) => (descending ? compare(b[0], a[0]) : compare(a[0], b[0])));
  body.append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, column, button));
  });
}

for (const field of document.querySelectorAll("input[data-filter]")) {
  field.closest("[hidden]").hidden = false;
  const rows = document.getElementById(field.dataset.filter).tBodies[0].rows;
  const shown = field.parentElement.parentElement.querySelector("output");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const left = [...rows].filter((row) => !row.hidden).length;
    shown.textContent = `${left} of ${rows.length} lines`;
  });
}

// Witnesses in tables are named by their id alone; their command is the same but for it.
for (const table of document.querySelectorAll("table[data-replay]")) {
  for (const code of table.querySelectorAll("code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.dataset.copy = table.dataset.replay + code.textContent;
    button.setAttribute("aria-label", `copy the command that replays ${code.textContent}`);
    button.textContent = "copy";
    code.after(" ", button);
  }
}

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(button.dataset.copy ?? code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "selected";
    }
  });
}

function unfold() {
  const target = document.getElementById(location.hash.slice(1));
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
}
addEventListener("hashchange", unfold);
unfold();
