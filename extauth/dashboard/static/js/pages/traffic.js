// All traffic over time by outcome, and by key, user, route or tier.

import { h } from "../dom.js";
import { latency, number, percent } from "../format.js";
import { card, pageHead, tile } from "../parts/basics.js";
import { totalOf } from "../parts/codes.js";
import { usageParts } from "../parts/usage-parts.js";

const GROUPS = [
  ["key", "Key"],
  ["user", "User"],
  ["route", "Route"],
  ["tier", "Tier"],
];
const LINKS = { key: "/dashboard/keys/", user: "/dashboard/users/" };

export async function page({ signal }) {
  const group = h(
    "select",
    { class: "input span", "aria-label": "Told apart by", onchange: () => parts.groups.reload() },
    GROUPS.map(([value, text]) => h("option", { value }, `By ${text.toLowerCase()}`)),
  );
  const parts = usageParts("Requests", signal, {
    path: "admin/usage",
    by: () => group.value,
    heading: () => GROUPS.find(([value]) => value === group.value)[1],
    name: (id) => nameOf(id, group.value),
    summary: (counts) => totalOf(counts) > 0 && h("div", { class: "tiles" }, tiles(counts)),
  });
  const about = "What proxies asked about, and what came of it.";
  return {
    title: "Traffic",
    node: h(
      "div",
      {},
      pageHead("Traffic", { about, acts: [parts.span] }),
      h(
        "div",
        { class: "stack" },
        parts.total,
        card("Requests", {}, parts.chart),
        card("Who and where", { aside: group }, parts.groups),
      ),
    ),
  };
}

function tiles(counts) {
  const all = totalOf(counts);
  const { upstream } = counts;
  return [
    tile("Requests", number(all)),
    tile("Refused", percent(1 - counts.allowed / all), { note: `${number(all - counts.allowed)} requests` }),
    tile("Check, typical", latency(counts.latency_us?.p50), {
      note: `99 of 100 within ${latency(counts.latency_us?.p99)}`,
    }),
    upstream?.reported > 0 &&
      tile("Errors of your API", percent(upstream["5xx"] / upstream.reported), {
        note: `of ${number(upstream.reported)} reported answers`,
      }),
  ].filter(Boolean);
}

function nameOf(group, by) {
  if (!group) return h("span", { class: "soft" }, LINKS[by] ? "without a key" : "none");
  return LINKS[by] ? h("a", { href: LINKS[by] + encodeURIComponent(group) }, group) : group;
}
