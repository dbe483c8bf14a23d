// What a consumer's keys have used: over time, and key by key.

import { ask, withQuery } from "../api.js";
import { trafficChart } from "../charts.js";
import { h } from "../dom.js";
import { card, empty, pageHead } from "../parts/basics.js";
import { ownKeys } from "../parts/keys.js";
import { loaded } from "../parts/loaded.js";
import { spanPicker } from "../parts/spans.js";
import { usageTable } from "../parts/usage-table.js";
import { own } from "../session.js";

export async function page({ signal }) {
  const names = new Map((await ownKeys(signal)).map((key) => [key.key_id, key.name]));
  const chart = trafficChart("Requests of all your keys", signal);
  const parts = [];
  const span = spanPicker(() => parts.forEach((part) => part.reload()), "day");
  const usage = (by) => ask(withQuery("me/usage", { by, ...span.range() }), { signal });
  const total = loaded(signal, () => usage("none"), (told) => {
    chart.show(told);
    return null;
  });
  const keys = loaded(signal, () => usage("key"), ({ series }) =>
    series.length
      ? usageTable("Usage by key", "Key", series, (id) => h("a", { href: own(`/keys/${id}`) }, names.get(id) ?? id))
      : empty("No requests in this time", "Each key that was used is listed here."));
  parts.push(total, keys);
  return {
    title: "Usage",
    node: h("div", {},
      pageHead("Usage", { about: "What your keys have used, and what came of it.", acts: [span.node] }),
      h("div", { class: "stack" }, card("Requests", {}, chart.node, total), card("By key", {}, keys))),
  };
}
