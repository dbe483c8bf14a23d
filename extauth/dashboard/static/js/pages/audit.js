// The audit log: all changes of keys and bans, filtered by key, by whom, by kind and by time.

import { ask, withQuery } from "../api.js";
import { h } from "../dom.js";
import { auditTable } from "../parts/audit-table.js";
import { button, card, empty, pageHead } from "../parts/basics.js";
import { selectField, textField } from "../parts/fields.js";
import { paged } from "../parts/table.js";
import { go } from "../router.js";

const ACTIONS = [
  "key.created",
  "key.updated",
  "key.disabled",
  "key.enabled",
  "key.revoked",
  "key.rotated",
  "key.purged",
  "key.limits_reset",
  "ban.added",
  "ban.lifted",
];
const SINCE = [
  ["", "Any time"],
  ["3600", "Last hour"],
  ["86400", "Last day"],
  ["604800", "Last 7 days"],
];

export async function page({ query, signal }) {
  const asked = Object.fromEntries(query);
  const filters = {
    key_id: asked.key_id,
    actor: asked.actor,
    action: asked.action,
    since: asked.since && `${new Date(Date.now() - Number(asked.since) * 1000).toISOString().slice(0, 19)}Z`,
  };
  const list = await paged(
    async (cursor) => {
      const { entries, next_cursor: next } = await ask(
        withQuery("admin/audit", { ...filters, limit: 50, cursor }),
        { signal },
      );
      return { rows: entries, next };
    },
    (entries) =>
      entries.length
        ? auditTable(entries)
        : empty(
            "No changes here",
            "Every change of a key or a ban stands here, by whatever way it was made. On the command line:",
            "extauth audit list",
          ),
  );
  return {
    title: "Audit log",
    node: h(
      "div",
      {},
      pageHead("Audit log", { about: "Who changed what, the newest first. Nothing in it can be changed." }),
      h("div", { class: "stack" }, filterForm(asked), card("Changes", {}, list)),
    ),
  };
}

function filterForm(asked) {
  const submit = (event) => {
    event.preventDefault();
    go(withQuery("/dashboard/audit", Object.fromEntries(new FormData(event.target))));
  };
  return h(
    "form",
    { class: "bar", role: "search", "aria-label": "Filter the audit log", onsubmit: submit },
    textField("Key id", { name: "key_id", value: asked.key_id ?? "" }),
    textField("By", { name: "actor", value: asked.actor ?? "", placeholder: "cli or key:…" }),
    selectField("What", [["", "Anything"], ...ACTIONS.map((name) => [name, name])], {
      name: "action",
      value: asked.action ?? "",
    }),
    selectField("When", SINCE, { name: "since", value: asked.since ?? "" }),
    button("Filter", { type: "submit" }),
  );
}
