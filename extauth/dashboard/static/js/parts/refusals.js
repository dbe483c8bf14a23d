// The latest refusals: when, what, why and what to do about it.

import { h } from "../dom.js";
import { limitTitle } from "../format.js";
import { ago, badge, empty } from "./basics.js";
import { advice, atLeast, codeTitle } from "./codes.js";
import { table } from "./table.js";

const TONES = { 4: "warn", 5: "bad" };
const FAILED = ["store_unavailable", "overloaded", "internal_error"];

// A client that is refused tends to come again: what is alike is one row, with how often it came.
function alike(refusals) {
  const rows = new Map();
  for (const one of refusals) {
    const name = JSON.stringify([one.key_id, one.code, one.violated, one.method, one.path, one.client_ip]);
    const row = rows.get(name);
    if (row) row.count += 1;
    else rows.set(name, { ...one, name, count: 1 });
  }
  return [...rows.values()];
}

/** Return a table of refusals. `keyName(id)` names their keys; `act(refusal)` gives what can be done. */
export function refusalTable(refusals, { keyName = null, act = null, withAdvice = true } = {}) {
  if (!refusals.length)
    return empty(
      "Nothing was refused lately",
      "Refusals of the last seven days stand here, with the reason and what to do.",
    );
  const columns = [
    {
      title: "When",
      cell: ({ at, count }) => [
        ago(at),
        count > 1 && h("span", { class: "soft small times" }, atLeast(count, "time")),
      ],
    },
    keyName && { title: "Key", cell: (one) => keyName(one.key_id) },
    { title: "Why", cell: why },
    { title: "Request", cell: request },
    withAdvice && { title: "What to do", cell: (one) => advice(one.code, one.retry_after) },
    !withAdvice && { title: "From", cell: (one) => h("span", { class: "mono" }, one.client_ip || "–") },
    act && { title: "Actions", act: true, cell: act },
  ].filter(Boolean);
  return table("Recent refusals", columns, alike(refusals), { key: ({ name }) => name });
}

function why(one) {
  const tone = FAILED.includes(one.code) ? TONES[5] : TONES[4];
  const limits = one.violated?.length ? one.violated.map(limitTitle).join(", ") : one.reason;
  return h(
    "span",
    { class: "two-lines" },
    badge(codeTitle(one.code), tone),
    limits && h("span", { class: "soft" }, limits),
  );
}

const request = (one) =>
  h(
    "span",
    { class: "two-lines" },
    h("span", { class: "mono" }, `${one.method} ${one.path}`),
    one.request_id && h("span", { class: "soft" }, "id ", h("span", { class: "mono" }, one.request_id)),
  );
