"use strict";
(() => {
  const table = document.getElementById("databases");
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const filter = document.getElementById("filter");
  const problems = document.getElementById("problems");
  const select = document.getElementById("sort");
  const shown = document.getElementById("shown");
  const words = new Intl.Collator(undefined, { numeric: true });

  const sort = (column, direction) => {
    const key = (row) => row.cells[column].dataset.sort ?? "";
    const rows = [...body.rows].sort((left, right) => direction * words.compare(key(left), key(right)));
    headers.forEach((header, place) => {
      header.setAttribute("aria-sort", place !== column ? "none" : direction > 0 ? "ascending" : "descending");
    });
    select.value = String(column);
    body.append(...rows);
  };

  const show = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word)) || (problems.checked && row.dataset.problem === undefined);
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = count === body.rows.length ? `${count} rows` : `${count} of ${body.rows.length} rows`;
  };

  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      sort(column, header.getAttribute("aria-sort") === "ascending" ? -1 : 1);
    });
  });
  select.addEventListener("change", () => sort(Number(select.value), 1));
  filter.addEventListener("input", show);
  problems.addEventListener("change", show);
  filter.form.addEventListener("submit", (event) => event.preventDefault());
  headers[0].setAttribute("aria-sort", "ascending");
  show();
})();
