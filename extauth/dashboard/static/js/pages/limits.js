// Who is near a limit, and whom limits in shadow would have refused.

import { ask } from "../api.js";
import { h } from "../dom.js";
import { day, limitTitle, number, plural } from "../format.js";
import { badge, button, card, empty, pageHead } from "../parts/basics.js";
import { loaded } from "../parts/loaded.js";
import { nearTable } from "../parts/near.js";
import { table } from "../parts/table.js";

const EXAMPLE = "limits:\n  rates: [{rate: 5000/second, shadow: true}]";

export async function page({ signal }) {
  const near = loaded(
    signal,
    () => ask("near", { signal }),
    ({ keys }) => nearTable(keys),
  );
  const shadow = loaded(signal, () => ask("admin/limits/shadow-report?limit=50", { signal }), findings);
  const refresh = () => [near, shadow].forEach((part) => part.reload());
  return {
    title: "Limits",
    node: h(
      "div",
      {},
      pageHead("Limits", {
        about: "Who is close to being refused, and whom limits on trial would refuse.",
        acts: [button("Refresh", { onclick: refresh })],
      }),
      h(
        "div",
        { class: "stack" },
        card("Near a limit", { about: "At least half in use, of the busiest keys of the last hour" }, near),
        card("Limits in shadow", { about: "Counted and told of, but never refusing" }, shadow),
      ),
    ),
  };
}

function findings({ since, until, limits, callers, left_out: leftOut }) {
  if (!limits.length) {
    return empty(
      "No limit in shadow would have refused anybody",
      `Looked at from ${day(since)} to ${day(until)}. To try a limit before it counts, set it in shadow:`,
      EXAMPLE,
    );
  }
  return h(
    "div",
    { class: "stack" },
    h("p", { class: "soft" }, `From ${day(since)} to ${day(until)}, in UTC.`),
    table(
      "Limits in shadow and what they would have refused",
      [
        { title: "Limit", cell: ({ name }) => [limitTitle(name), " ", badge("shadow")] },
        { title: "Would have refused", right: true, cell: ({ requests }) => number(requests) },
        { title: "Keys", right: true, cell: ({ keys }) => number(keys) },
      ],
      limits,
      { key: ({ name }) => name },
    ),
    h("h3", {}, "Whom"),
    table(
      "Callers that limits in shadow would have refused",
      [
        { title: "Key", cell: ({ key_id: id }) => caller(id) },
        { title: "Limit", cell: ({ limit }) => limitTitle(limit) },
        { title: "Route", cell: ({ route }) => route },
        { title: "Requests", right: true, cell: ({ requests }) => number(requests) },
        { title: "Last", cell: ({ last_day: last }) => day(last) },
      ],
      callers,
      { key: ({ limit, key_id: id, route }) => `${limit} ${id} ${route}` },
    ),
    leftOut > 0 && h("p", { class: "soft" }, `${plural(leftOut, "further caller")} not shown.`),
  );
}

const caller = (id) =>
  id === "anonymous" || id === "other"
    ? h("span", { class: "soft" }, id)
    : h("a", { class: "mono", href: `/dashboard/keys/${id}` }, id);
