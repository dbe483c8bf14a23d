// A consumer's overview: whether all is well, how the limits of each key stand, what was used and refused.

import { ask } from "../api.js";
import { trafficChart } from "../charts.js";
import { h, update } from "../dom.js";
import { plural } from "../format.js";
import { ago, announce, button, card, empty, pageHead } from "../parts/basics.js";
import { createOwn, keyLink, stateBadge } from "../parts/keys.js";
import { liveBadge } from "../parts/live-badge.js";
import { meters } from "../parts/meter.js";
import { refusalTable } from "../parts/refusals.js";
import { verdict, verdictBanner, worstFirst } from "../parts/verdict.js";
import { go } from "../router.js";
import { own, session } from "../session.js";

export async function page({ signal }) {
  const first = await ask("me/overview", { signal });
  const answer = h("div", {});
  const keys = h("div", {});
  const refusals = h("div", {});
  const chart = trafficChart("Requests of the last hour", signal);

  function show(told) {
    if (!told.keys.length) {
      update(answer, noKeys());
    } else {
      const found = verdict(told);
      update(answer, verdictBanner(found));
      announce(found.title);
    }
    update(keys, keyCards(told));
    update(refusals, refusalTable(told.refusals, { keyName: nameOf(told.keys) }));
    chart.show(told.hour);
  }

  show(first);
  const live = liveBadge("me", signal, show);
  return {
    title: "Overview",
    node: h(
      "div",
      {},
      pageHead("Overview", { about: "How your keys are doing right now.", acts: [live] }),
      h(
        "div",
        { class: "stack" },
        answer,
        keys,
        card("Requests of the last hour", { about: "All of your keys together" }, chart.node),
        card("Recent refusals", {}, refusals),
      ),
    ),
  };
}

function keyCards({ keys, more }) {
  return [
    h(
      "div",
      { class: "columns" },
      worstFirst(keys).map(({ record, limits }) =>
        h(
          "section",
          { class: "card", dataset: { key: record.key_id } },
          h(
            "div",
            { class: "card-head" },
            h("h2", {}, keyLink(record, own(`/keys/${record.key_id}`))),
            stateBadge(record),
          ),
          meters(limits),
          h("p", { class: "small soft used" }, "Tier ", record.tier, " · last used ", ago(record.last_used)),
        ),
      ),
    ),
    more > 0 &&
      h(
        "p",
        { class: "small soft" },
        `${plural(more, "further key")}, not used as lately: `,
        h("a", { href: own("/keys") }, "all keys"),
      ),
  ];
}

function noKeys() {
  const make =
    session().may.create &&
    button("New key", { tone: "primary", onclick: async () => (await createOwn()) && go(own("/")) });
  return h(
    "div",
    { class: "card" },
    empty("None of your keys works", "All of them have ended, or were disabled."),
    make,
  );
}

function nameOf(keys) {
  const names = new Map(keys.map(({ record }) => [record.key_id, record.name]));
  return (id) => h("a", { href: own(`/keys/${id}`) }, names.get(id) ?? id);
}
