// An operator's overview: what comes in, who sends most of it, who fails, who is near a limit, what is not well.

import { ask } from "../api.js";
import { trafficChart } from "../charts.js";
import { h, update } from "../dom.js";
import { number, perSecond, percent } from "../format.js";
import { badge, banner, card, empty, pageHead, tile } from "../parts/basics.js";
import { totalOf } from "../parts/codes.js";
import { liveBadge } from "../parts/live-badge.js";
import { loaded } from "../parts/loaded.js";
import { nearTable } from "../parts/near.js";
import { offenderTable } from "../parts/offenders.js";
import { shareBar } from "../parts/meter.js";
import { canStop } from "../parts/stop.js";
import { stopButton } from "../parts/stop-button.js";
import { table } from "../parts/table.js";
import { holds } from "../session.js";

export async function page({ signal }) {
  const first = await ask("overview", { signal });
  const places = {
    condition: h("div", {}),
    tiles: h("div", {}),
    offenders: h("div", {}),
  };
  const talkers = talkersCard(first.talkers);
  const chart = trafficChart("Requests of the last hour", signal);

  function show(told) {
    update(places.condition, condition(told.health));
    update(places.tiles, h("div", { class: "tiles" }, tiles(told)));
    if (told.talkers) talkers.show(told.talkers);
    if (told.offenders) update(places.offenders, offenderTable(told.offenders));
    if (told.hour) chart.show(told.hour);
  }

  show(first);
  const live = liveBadge("overview", signal, show);
  return { title: "Overview", node: layout(first, places, { chart, live, talkers, near: nearCard(signal) }) };
}

const more = (href, text) => h("a", { class: "small", href }, text);

function layout(first, places, { chart, live, talkers, near }) {
  const traffic = { aside: more("/dashboard/usage", "Traffic over longer") };
  const failing = { about: "Who sends keys that are no good", aside: more("/dashboard/bans", "Bans") };
  return h(
    "div",
    {},
    pageHead("Overview", { about: "What comes in right now, and who needs a look.", acts: [live] }),
    h(
      "div",
      { class: "stack" },
      places.condition,
      places.tiles,
      first.hour && card("Requests of the last hour", traffic, chart.node),
      talkers?.node,
      h(
        "div",
        { class: "columns" },
        first.offenders && card("Failed authentications", failing, places.offenders),
        near,
      ),
    ),
  );
}

function nearCard(signal) {
  if (!holds("extauth:keys:read") || !holds("extauth:usage:read")) return null;
  const look = () => ask("near", { signal });
  const rows = loaded(signal, look, ({ keys }) => nearTable(keys.slice(0, 5), { short: true }));
  return card(
    "Near a limit",
    { about: "Of the busiest keys", aside: more("/dashboard/limits", "All limits") },
    rows,
  );
}

function tiles({ now, hour, bans, health }) {
  const rates = now?.per_second;
  const counts = hour?.series[0]?.total;
  const total = counts ? totalOf(counts) : 0;
  return [
    now &&
      tile("Requests a second", rates ? perSecond(totalOf(rates)) : "–", {
        note: rates ? refusedOf(totalOf(rates) - rates.allowed) : "measured in a moment",
      }),
    hour &&
      tile("Requests in the last hour", number(total), {
        note: total ? `${percent(1 - counts.allowed / total)} refused` : "none yet",
      }),
    bans !== null &&
      tile("Bans in force", number(bans), {
        note: bans ? h("a", { href: "/dashboard/bans" }, "See them") : "nobody is banned",
      }),
    tile("Service", health.ready ? "Ready" : "Not ready", {
      tone: health.ready ? "" : "is-bad",
      note: h("a", { href: "/dashboard/system" }, "Health of its parts"),
    }),
  ].filter(Boolean);
}

const refusedOf = (rate) => (rate > 0 ? `${perSecond(rate)} of them refused` : "none of them refused");

function condition(health) {
  const wrong = Object.entries(health.parts).filter(([, problem]) => problem !== "ok");
  if (!wrong.length) return null;
  return banner(
    health.ready ? "warn" : "bad",
    health.ready ? "Something needs a look" : "Checks are not answered as they should be",
    h(
      "ul",
      {},
      wrong.map(([part, problem]) => h("li", {}, badge(part), " ", problem)),
    ),
  );
}

const TIMES = [
  ["5m", "last 5 minutes"],
  ["1h", "last hour"],
];

/** Return {node, show(talkers)}: the busiest keys, now or of the whole hour; null where they can't be seen. */
function talkersCard(first) {
  if (!first) return null;
  let told = first;
  const time = h(
    "select",
    { class: "input span", "aria-label": "Talkers of", onchange: () => show(told) },
    TIMES.map(([name, text]) => h("option", { value: name }, text.replace("l", "L"))),
  );
  const rows = h("div", {});

  function show(talkers) {
    told = talkers;
    update(rows, talkerTable(told[time.value].series, new Map(TIMES).get(time.value)));
  }

  return { node: card("Top talkers", { about: "The busiest keys", aside: time }, rows), show };
}

function talkerTable(series, time) {
  const talkers = series.filter(({ total }) => totalOf(total));
  if (!talkers.length)
    return empty(
      `Nobody has sent requests in the ${time}`,
      "Keys that proxies ask about are listed here, the busiest first.",
    );
  const all = talkers.reduce((sum, { total }) => sum + totalOf(total), 0);
  return table(
    `The busiest keys of the ${time}`,
    [
      { title: "Key", cell: keyOf },
      {
        title: "User",
        cell: (one) =>
          one.user_id
            ? h("a", { href: `/dashboard/users/${encodeURIComponent(one.user_id)}` }, one.user_id)
            : "–",
      },
      { title: "Share of these", cell: ({ total }) => shareBar(totalOf(total) / all, "") },
      { title: "Requests", right: true, cell: ({ total }) => number(totalOf(total)) },
      { title: "Refused", right: true, cell: ({ total }) => percent(1 - total.allowed / totalOf(total)) },
      canStop() && {
        title: "Actions",
        act: true,
        cell: (one) => one.group && stopButton({ keyId: one.group, userId: one.user_id }),
      },
    ].filter(Boolean),
    talkers,
    { key: ({ group }) => group || "-" },
  );
}

function keyOf({ group, name }) {
  if (!group) return h("span", { class: "soft" }, "without a key");
  return h(
    "span",
    { class: "two-lines" },
    h("a", { href: `/dashboard/keys/${group}` }, name ?? group),
    name && h("span", { class: "soft mono" }, group),
  );
}
