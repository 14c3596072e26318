(() => {
  "use strict";
  // A head of a table.sortable sorts its rows: numbers from the largest, words from A, then the
  // other way round. A cell's data-value counts before its text; cells without either stay last.
  const key = (row, column) => {
    const cell = row.cells[column];
    return (cell.dataset.value ?? cell.textContent).trim();
  };
  const sort = (table, head) => {
    const column = head.cellIndex;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, key: key(row, column) }));
    const numeric = rows.every((one) => !Number.isNaN(Number(one.key)));
    const turned = head.getAttribute("aria-sort");
    const falling = turned ? turned === "ascending" : numeric;
    const order = (a, b) => (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
    rows.sort((a, b) => {
      if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "");
      return falling ? order(b.key, a.key) : order(a.key, b.key);
    });
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    body.append(...rows.map((one) => one.row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.tHead.rows[table.tHead.rows.length - 1].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
  }
})();
