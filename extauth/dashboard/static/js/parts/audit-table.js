// Entries of the audit log: who changed what, from where, and what differs since.

import { h } from "../dom.js";
import { ago, badge } from "./basics.js";
import { scrolled, table } from "./table.js";

/** Return a table of entries; the `short` one leaves out whose key it was and where the change came from. */
export function auditTable(entries, { short = false } = {}) {
  return table(
    "Changes, the newest first",
    [
      { title: "When", cell: ({ at }) => ago(at) },
      { title: "What", cell: ({ action }) => badge(action) },
      !short && {
        title: "Key",
        cell: ({ key_id: id }) =>
          id
            ? h("a", { class: "mono", href: `/dashboard/keys/${id}` }, id)
            : h("span", { class: "soft" }, "–"),
      },
      { title: "By", cell: ({ actor }) => h("span", { class: "mono" }, actor) },
      !short && { title: "From", cell: ({ source }) => h("span", { class: "mono" }, source) },
      !short && { title: "Difference", cell: difference },
    ].filter(Boolean),
    entries,
    { key: ({ id }) => id },
  );
}

function difference({ before, after }) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  if (!names.length) return h("span", { class: "soft" }, "none");
  const line = (name) =>
    `${name}: ${before[name] === undefined ? "" : `${text(before[name])} → `}${text(after[name])}`;
  return h(
    "details",
    {},
    h("summary", {}, inShort(names, after)),
    scrolled("What differs", h("pre", { class: "difference" }, names.map(line).join("\n"))),
  );
}

function inShort(names, after) {
  if (after.name && after.user_id) return `${after.name} of ${after.user_id}`;
  if (after.subject) return after.subject;
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}

const text = (value) =>
  value === undefined ? "gone" : typeof value === "string" ? value : JSON.stringify(value);
