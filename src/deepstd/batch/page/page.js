"use strict";
(function () {
  const rows = JSON.parse(document.getElementById("rows").textContent);
  const atOnce = 100;
  const bytes = (n) => n.toLocaleString("en");
  const digits = (count) => (v) => v === null ? "-" : v.toFixed(count);
  const figure = (v, row) => v === null ? "-" : Number(v.toPrecision(4)) + (row[9] ? " " + row[9] : "");
  const columns = [
    ["scan", 0, (v) => v, "text"],
    ["stored as", 1, (v) => v, "text"],
    ["bytes before", 2, bytes],
    ["bytes after", 3, bytes],
    ["ratio", 4, digits(1)],
    ["PSNR, dB", 5, (v, row) => row[10] ? "exact" : digits(2)(v)],
    ["SSIM", 6, digits(4)],
    ["mean error", 7, figure],
    ["largest error", 8, figure],
    ["note", 11, (v) => v, "text note"],
  ];
  const words = rows.map((row) => (row[0] + " " + row[1] + " " + row[11] + (row[10] ? " exact" : "")).toLowerCase());
  const head = document.getElementById("head"), body = document.getElementById("body");
  const search = document.getElementById("search"), count = document.getElementById("count");
  const back = document.getElementById("back"), next = document.getElementById("next");
  const place = document.getElementById("page");
  let order = rows.map((row, n) => n), sorted = null, up = true, page = 0;

  function shown() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return order.filter((n) => wanted.every((word) => words[n].includes(word)));
  }
  function compare(a, b) {
    if (a === b) return 0;
    if (a === null) return 1;
    if (b === null) return -1;
    const less = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) < 0 : a < b;
    return less === up ? -1 : 1;
  }
  function sort(column) {
    up = sorted === column ? !up : true;
    sorted = column;
    order = rows.map((row, n) => n).sort((a, b) => compare(rows[a][column[1]], rows[b][column[1]]) || a - b);
    page = 0;
    draw();
  }
  function draw() {
    const found = shown(), pages = Math.max(1, Math.ceil(found.length / atOnce));
    page = Math.min(page, pages - 1);
    body.replaceChildren(...found.slice(page * atOnce, (page + 1) * atOnce).map((n) => {
      const line = document.createElement("tr");
      for (const [, key, show, kind] of columns) {
        const cell = document.createElement("td");
        cell.textContent = show(rows[n][key], rows[n]);
        if (kind) cell.className = kind;
        line.append(cell);
      }
      return line;
    }));
    for (const [n, column] of columns.entries()) {
      const mark = column === sorted ? (up ? " ▲" : " ▼") : "";
      head.children[n].firstChild.textContent = column[0] + mark;
      head.children[n].setAttribute("aria-sort", column !== sorted ? "none" : up ? "ascending" : "descending");
    }
    count.textContent = found.length === rows.length ? rows.length.toLocaleString("en") + " scans"
      : found.length.toLocaleString("en") + " of " + rows.length.toLocaleString("en") + " scans";
    place.textContent = "page " + (page + 1) + " of " + pages;
    back.disabled = page === 0;
    next.disabled = page === pages - 1;
    back.parentNode.style.display = pages === 1 ? "none" : "";
  }
  for (const column of columns) {
    const cell = document.createElement("th"), button = document.createElement("button");
    button.type = "button";
    button.addEventListener("click", () => sort(column));
    cell.scope = "col";
    if (column[3]) cell.className = column[3];
    cell.append(button);
    head.append(cell);
  }
  search.addEventListener("input", () => { page = 0; draw(); });
  back.addEventListener("click", () => { page -= 1; draw(); });
  next.addEventListener("click", () => { page += 1; draw(); });
  draw();
})();
