// Who is near a limit, the fullest first.

import { h } from "../dom.js";
import { limitTitle, number } from "../format.js";
import { badge, countdown, empty } from "./basics.js";
import { shareBar } from "./meter.js";
import { table } from "./table.js";

const NEAR = 0.5;

/** Return a table of limits of keys by how much of them is used. */
export function nearTable(rows, { short = false } = {}) {
  const used = rows.filter(({ share_used: share }) => share >= NEAR);
  if (!used.length)
    return empty(
      "Nobody is near a limit",
      "Limits of the busiest keys that are at least half in use stand here, the fullest first.",
    );
  return table(
    "Limits of the busiest keys, the fullest first",
    [
      {
        title: "Key",
        cell: ({ key_id: id, user_id: user, name }) =>
          h(
            "span",
            { class: "two-lines" },
            h("a", { href: `/dashboard/keys/${id}` }, name ?? id),
            h("span", { class: "soft" }, user),
          ),
      },
      { title: "Limit", cell: ({ limit, shadow }) => [limitTitle(limit), shadow && [" ", badge("shadow")]] },
      {
        title: "In use",
        cell: ({ share_used: share, shadow }) => shareBar(share, shadow ? "idle" : undefined),
      },
      !short && {
        title: "Left",
        right: true,
        cell: ({ remaining, capacity }) => `${number(remaining)} of ${number(capacity)}`,
      },
      {
        title: "Free again",
        right: true,
        cell: freeAgain,
      },
    ].filter(Boolean),
    used,
    { key: ({ key_id: id, limit }) => `${id} ${limit}` },
  );
}

function freeAgain({ would_refuse: refuses, shadow, retry_seconds: retry, reset_seconds: reset }) {
  const told = (seconds, what) =>
    h("span", { class: "two-lines" }, countdown(seconds), h("span", { class: "soft" }, what));
  if (refuses && !shadow) return told(retry, "for the next");
  return reset === null ? "–" : told(reset, "for all of it");
}
