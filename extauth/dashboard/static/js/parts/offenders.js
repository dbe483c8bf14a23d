// Who fails to authenticate, most often first, with a way to ban them.

import { h } from "../dom.js";
import { number } from "../format.js";
import { holds } from "../session.js";
import { ago, empty } from "./basics.js";
import { stopButton } from "./stop-button.js";
import { table } from "./table.js";

/** Return a table of offenders. */
export function offenderTable(offenders, onDone) {
  if (!offenders.length)
    return empty(
      "Nobody has failed to authenticate within the last hour",
      "Addresses that send wrong keys are listed here, and banned by themselves when there are too many.",
    );
  return table(
    "Who failed to authenticate within the last hour",
    [
      { title: "Who", cell: ({ subject }) => h("span", { class: "mono subject" }, subject.replace(/^ip:/, "")) },
      { title: "Failures", right: true, cell: ({ failures }) => number(failures) },
      { title: "Why", cell: ({ reasons }) => h("span", { class: "soft" }, why(reasons)) },
      { title: "Last", cell: ({ last_failed_at: at }) => ago(at) },
      holds("extauth:bans:write") && {
        title: "Actions",
        act: true,
        cell: ({ subject }) => stopButton(whomOf(subject), { onDone }),
      },
    ].filter(Boolean),
    offenders,
    { key: ({ subject }) => subject },
  );
}

/** Return why keys were refused, the most frequent reason first. */
function why(reasons) {
  return Object.entries(reasons)
    .map(([reason, failures]) => `${reason} (${number(failures)})`)
    .join(", ");
}

function whomOf(subject) {
  const [kind, ...rest] = subject.split(":");
  const value = rest.join(":");
  return kind === "key" ? { keyId: value } : kind === "user" ? { userId: value } : { address: value };
}
