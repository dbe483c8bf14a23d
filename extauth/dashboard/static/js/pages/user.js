// One user: all keys of theirs, what these have used together, and a way to stop all of them.

import { ask, change, withQuery } from "../api.js";
import { h } from "../dom.js";
import { button, card, empty, pageHead } from "../parts/basics.js";
import { newKey } from "../parts/new-key.js";
import { stopButton } from "../parts/stop-button.js";
import { paged } from "../parts/table.js";
import { usageParts } from "../parts/usage-parts.js";
import { again } from "../router.js";
import { holds } from "../session.js";
import { keyTable } from "./keys.js";

export async function page({ id, signal }) {
  return {
    title: id,
    node: h(
      "div",
      {},
      pageHead(id, {
        about: "A user, with all keys of theirs.",
        back: { href: "/dashboard/keys", text: "Keys and users" },
        acts: actsOf(id),
      }),
      h("div", { class: "stack" }, card("Keys", {}, await keysOf(id, signal)), usageCards(id, signal)),
    ),
  };
}

function usageCards(id, signal) {
  if (!holds("extauth:usage:read")) return null;
  const parts = usageParts(`Requests of ${id}`, signal, {
    path: "admin/usage",
    filters: { user_id: id },
    by: () => "route",
    heading: () => "Route",
    name: (route) => route || "–",
  });
  return [
    card("Requests", { aside: parts.span }, parts.chart, parts.total),
    card("By route", {}, parts.groups),
  ];
}

function actsOf(user) {
  const make = async () => (await newKey((body) => change("POST", "admin/keys", body), { user })) && again();
  return [
    holds("extauth:keys:write") && button("New key", { onclick: make }),
    holds("extauth:bans:write") && stopButton({ userId: user }, { tone: "danger" }),
  ];
}

function keysOf(user, signal) {
  const fetchPage = async (cursor) => {
    const { keys, next_cursor: next } = await ask(
      withQuery("admin/keys", { user_id: user, limit: 50, cursor }),
      { signal },
    );
    return { rows: keys, next };
  };
  return paged(fetchPage, (keys) =>
    keys.length
      ? keyTable(`Keys of ${user}`, keys, { withUser: false })
      : empty("This user has no keys", "Make the first one with the button above."),
  );
}
