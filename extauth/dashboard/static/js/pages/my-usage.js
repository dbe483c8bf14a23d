// What a consumer's keys have used: over time, and key by key.

import { h } from "../dom.js";
import { card, pageHead } from "../parts/basics.js";
import { ownKeys } from "../parts/keys.js";
import { usageParts } from "../parts/usage-parts.js";
import { own } from "../session.js";

export async function page({ signal }) {
  const names = new Map((await ownKeys(signal)).map((key) => [key.key_id, key.name]));
  const parts = usageParts("Requests of all your keys", signal, {
    path: "me/usage",
    by: () => "key",
    heading: () => "Key",
    name: (id) => h("a", { href: own(`/keys/${id}`) }, names.get(id) ?? id),
  });
  const about = "What your keys have used, and what came of it.";
  return {
    title: "Usage",
    node: h(
      "div",
      {},
      pageHead("Usage", { about, acts: [parts.span] }),
      h(
        "div",
        { class: "stack" },
        card("Requests", {}, parts.chart, parts.total),
        card("By key", {}, parts.groups),
      ),
    ),
  };
}
