// The latest refusals: when, what, why and what to do about it.

import { h } from "../dom.js";
import { limitTitle } from "../format.js";
import { ago, badge, empty } from "./basics.js";
import { advice, codeTitle } from "./codes.js";
import { table } from "./table.js";

const TONES = { 4: "warn", 5: "bad" };
const FAILED = ["store_unavailable", "overloaded", "internal_error"];

/** Return a table of refusals. `keyName(id)` names their keys; `act(refusal)` gives what can be done. */
export function refusalTable(refusals, { keyName = null, act = null, withAdvice = true } = {}) {
  if (!refusals.length) return empty("Nothing was refused lately", "Refusals of the last seven days stand here, with the reason and what to do.");
  const columns = [
    { title: "When", cell: (one) => ago(one.at) },
    keyName && { title: "Key", cell: (one) => keyName(one.key_id) },
    { title: "Why", cell: why },
    { title: "Request", cell: request },
    withAdvice && { title: "What to do", cell: (one) => advice(one.code, one.retry_after) },
    !withAdvice && { title: "From", cell: (one) => h("span", { class: "mono" }, one.client_ip || "–") },
    act && { title: "Actions", act: true, cell: act },
  ].filter(Boolean);
  return table("Recent refusals", columns, refusals, { key: (one) => `${one.key_id ?? ""}${one.at}${one.request_id}` });
}

function why(one) {
  const tone = FAILED.includes(one.code) ? TONES[5] : TONES[4];
  const limits = one.violated?.length ? one.violated.map(limitTitle).join(", ") : one.reason;
  return h("span", { class: "two-lines" }, badge(codeTitle(one.code), tone), limits && h("span", { class: "soft" }, limits));
}

const request = (one) =>
  h("span", { class: "two-lines" },
    h("span", { class: "mono" }, `${one.method} ${one.path}`),
    one.request_id && h("span", { class: "soft" }, "id ", h("span", { class: "mono" }, one.request_id)));
