// Tables: with a caption for those who hear them, and rows that stay themselves when numbers change.

import { h, update } from "../dom.js";
import { button } from "./basics.js";
import { failure } from "./failure.js";

/**
 * Return a table. A column is {title, cell(row), right, act}; `key` names a row. On a phone rows become
 * blocks, unless `folds` is false; the roles keep it a table for screen readers then.
 */
export function table(caption, columns, rows, { key = null, folds = true } = {}) {
  return h(
    "table",
    { class: `table ${folds ? "folds" : ""}`, role: "table" },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map(header))),
    h(
      "tbody",
      { role: "rowgroup" },
      rows.map((row) =>
        h(
          "tr",
          { role: "row", dataset: key ? { key: key(row) } : {} },
          columns.map((column) => cell(column, row)),
        ),
      ),
    ),
  );
}

function header(column) {
  const content = column.act ? h("span", { class: "unseen" }, column.title) : column.title;
  return h("th", { scope: "col", role: "columnheader", class: column.right ? "right" : null }, content);
}

function cell(column, row) {
  const look = column.act ? "act" : column.right ? "right number" : null;
  // One element in each, so that label and content are two places on a phone.
  const label = column.act ? "" : column.title;
  return h("td", { role: "cell", class: look, dataset: { label } }, h("div", {}, column.cell(row)));
}

/** Return a table that may be wider than the page. */
export const scrolled = (label, content) =>
  h("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" }, content);

/**
 * Return a list that is fetched page by page. `fetchPage(cursor)` gives {rows, next}; `show(rows)` what
 * stands for them, also where there are none.
 */
export async function paged(fetchPage, show) {
  const place = h("div", {});
  let rows = [];

  async function load(cursor) {
    let page = await fetchPage(cursor);
    // A page may be empty and yet not be the last.
    while (!page.rows.length && page.next) page = await fetchPage(page.next);
    rows = [...rows, ...page.rows];
    draw(page.next);
  }

  function draw(next, problem = null) {
    const more = next && h("div", { class: "more" }, button("Show more", { onclick: () => again(next) }));
    update(place, show(rows), problem, more);
  }

  const again = (cursor) => load(cursor).catch((error) => draw(cursor, failure(error)));
  await load(null);
  return place;
}
