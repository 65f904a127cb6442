"use strict";
// What a page does beyond being read: sorts and filters its tables, and looks predictions up. It computes nothing.
(() => {
  document.documentElement.classList.add("scripted");

  // -- tables: a click on a heading sorts by it, a second one the other way round; empty cells stay last.
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = (cell.dataset.value ?? cell.textContent).trim();
    if (text === "" || text === "–") return null;
    const number = /^[-+]?[\d.]+(e[-+]?\d+)?(?=[%×]?$|[%×]? )/.exec(text); // 12.3 [11.9, 12.8]; +1.5%; 1.43×
    return number ? Number(number[0]) : text;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      heading.querySelector("button")?.addEventListener("click", () => {
        const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((a, b) => {
          const [left, right] = [value(a, column), value(b, column)];
          if (left === null || right === null) return (left === null) - (right === null);
          return sign * compare(left, right);
        });
        body.append(...rows);
      });
    });
  }

  // -- filters: every word has to occur in a row.
  for (const filter of document.querySelectorAll("input[data-filters]")) {
    const table = document.getElementById(filter.dataset.filters);
    const count = document.getElementById(filter.getAttribute("aria-describedby"));
    const apply = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      if (count) count.textContent = `${shown} of ${table.tBodies[0].rows.length} shown`;
    };
    filter.addEventListener("input", apply);
    apply();
  }

  // -- sliders: predictions that the harness made beforehand, looked up.
  const source = document.getElementById("lookup");
  if (!source) return;
  const lookup = JSON.parse(source.textContent);
  const sliders = ["bandwidth", "rtt"].map((name) => document.getElementById(`slider-${name}`));
  const rows = new Map();
  for (const row of document.querySelectorAll("#candidates tbody tr")) rows.set(row.dataset.key, row);
  const best = document.getElementById("slider-best");
  const show = () => {
    const [b, r] = sliders.map((slider) => Number(slider.value));
    document.getElementById("shown-bandwidth").textContent = `${lookup.bandwidth_mbps[b]} Mbit/s`;
    document.getElementById("shown-rtt").textContent = `${lookup.rtt_ms[r]} ms`;
    sliders[0].setAttribute("aria-valuetext", `${lookup.bandwidth_mbps[b]} Mbit/s`);
    sliders[1].setAttribute("aria-valuetext", `${lookup.rtt_ms[r]} ms`);
    let winner = null;
    lookup.keys.forEach((key, index) => {
      const ms = lookup.total_ms[index][b][r];
      const row = rows.get(key);
      if (!row) return;
      const cell = row.querySelector("td.looked-up");
      cell.textContent = ms === null ? "–" : ms.toFixed(1);
      cell.dataset.value = ms === null ? "" : ms;
      if (ms !== null && row.dataset.feasible === "true" && (winner === null || ms < winner.ms)) {
        winner = { name: row.cells[0].firstChild.textContent, key, ms };
      }
    });
    best.textContent = winner ? `${winner.name}, ${winner.ms.toFixed(1)} ms` : "none is possible";
    best.dataset.key = winner ? winner.key : "";
  };
  for (const slider of sliders) slider.addEventListener("input", show);
  show();
})();
