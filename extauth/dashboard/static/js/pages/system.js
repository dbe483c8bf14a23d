// The service itself: its parts, its store, what proxies report, and the configuration in force.

import { ask } from "../api.js";
import { h } from "../dom.js";
import { limitTitle, number } from "../format.js";
import { ago, badge, banner, button, card, empty, facts, pageHead } from "../parts/basics.js";
import { again } from "../router.js";
import { session } from "../session.js";

export async function page({ signal }) {
  const told = await ask("system", { signal });
  return {
    title: "System",
    node: h(
      "div",
      {},
      pageHead("System", {
        about: `extauth ${session().version}`,
        acts: [button("Refresh", { onclick: again })],
      }),
      h(
        "div",
        { class: "stack" },
        told.reload &&
          !told.reload.ok &&
          banner(
            "bad",
            "The last reload failed; the configuration before it stays in force",
            h("p", {}, told.reload.problem),
          ),
        h("div", { class: "columns narrow" }, health(told), service(told), signals(told.signals)),
        card(
          "Configuration in force",
          { about: "Secrets are hidden" },
          h(
            "pre",
            { class: "settings-text", tabindex: "0", role: "region", "aria-label": "Configuration in force" },
            written(told.config).trimStart(),
          ),
        ),
      ),
    ),
  };
}

function health({ health: parts, ready }) {
  const rows = Object.entries(parts).map(([part, problem]) => {
    const state =
      problem === "ok" ? badge("ok", "good dot") : h("span", {}, badge("not well", "bad dot"), " ", problem);
    return [limitTitle(part.replaceAll("_", "-")), state];
  });
  return card("Health", { aside: ready ? badge("Ready", "good") : badge("Not ready", "bad") }, facts(rows));
}

function service({ store, workers, worker_health: workerHealth, reload }) {
  const loadedAt = reload
    ? [ago(reload.at), " ", reload.ok ? badge("taken over", "good") : badge("refused", "bad")]
    : "not since the start";
  const unwell = Object.entries(workerHealth ?? {}).filter(([, problem]) => problem !== "ok");
  return card(
    "Service",
    {},
    facts([
      ["Store", store.kind],
      ["Durability", durability(store.durability)],
      ["Workers", String(workers)],
      unwell.length > 0 && [
        "Not well",
        unwell.map(([worker, problem]) => h("div", {}, `${worker}: ${problem}`)),
      ],
      ["Reloaded", loadedAt],
    ]),
  );
}

const durability = (told) =>
  typeof told === "string"
    ? told
    : Object.entries(told ?? {}).map(([name, value]) =>
        h("div", {}, `${name.replaceAll("_", " ")}: ${value}`),
      );

function signals(told) {
  const sum = (counts) => Object.values(counts ?? {}).reduce((total, count) => total + count, 0);
  if (!told.leases && !sum(told.received)) {
    return card(
      "Signals of proxies",
      {},
      empty(
        "No proxy has reported the end of a request",
        "They do where a limit on requests in flight is set, and the shipped configurations are used. Try it with:",
        "extauth demo",
      ),
    );
  }
  return card(
    "Signals of proxies",
    { about: "Ends of requests, since the start" },
    facts([
      [
        "Received",
        [
          number(sum(told.received)),
          " ",
          h(
            "span",
            { class: "soft" },
            Object.entries(told.received)
              .filter(([, count]) => count)
              .map(([form, count]) => `${form} ${number(count)}`)
              .join(", "),
          ),
        ],
      ],
      ["Of no use", `${number(told.unknown)} unknown, ${number(sum(told.unread))} unreadable`],
      ["Leases", number(told.leases ?? 0)],
      [
        "Freed",
        `${number(told.freed_by_signal)} by a signal, ${number(told.by_disconnect)} as the client left, ${number(told.by_expiry)} by expiry`,
      ],
    ]),
  );
}

// As YAML would have it, as far as it helps reading: nothing reads this but people.
function written(value, depth = 0) {
  const indent = "  ".repeat(depth);
  if (Array.isArray(value)) {
    if (!value.length) return " []\n";
    return `\n${value.map((item) => `${indent}-${written(item, depth + 1).replace(/^\n\s*/, " ")}`).join("")}`;
  }
  if (value !== null && typeof value === "object") {
    const rows = Object.entries(value);
    if (!rows.length) return " {}\n";
    return `\n${rows.map(([name, item]) => `${indent}${name}:${written(item, depth + 1)}`).join("")}`;
  }
  return ` ${value === "" ? '""' : value}\n`;
}
