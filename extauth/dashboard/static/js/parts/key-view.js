// What a page shows of one key, its owner's or an operator's.

import { ask, withQuery } from "../api.js";
import { trafficChart } from "../charts.js";
import { h, update } from "../dom.js";
import { holds } from "../session.js";
import { announce, card, facts } from "./basics.js";
import { isLiving, keyFacts } from "./keys.js";
import { liveBadge } from "./live-badge.js";
import { loaded } from "./loaded.js";
import { meters } from "./meter.js";
import { refusalTable } from "./refusals.js";
import { spanPicker } from "./spans.js";
import { verdict, verdictBanner } from "./verdict.js";

/** Return {node, live}. `root` is me or admin; `refusals` are options of the table of refusals. */
export function keyView(key, root, signal, { refusals: options = {}, more = [], limitActs = null } = {}) {
  const answer = h("div", {});
  const bars = h("div", {});
  const refusals = h("div", {});

  const seesUsage = root === "me" || holds("extauth:usage:read");

  function show(told) {
    const found = verdict({
      keys: [{ record: key, limits: told.limits }],
      // Those of one key don't say whose they are.
      refusals: (told.refusals ?? []).map((one) => ({ ...one, key_id: key.key_id })),
      hour: told.hour,
    });
    update(answer, verdictBanner(found));
    announce(found.title);
    update(bars, meters(told.limits));
    if (told.refusals) update(refusals, refusalTable(told.refusals, options));
  }

  const live = isLiving(key) ? liveBadge(`key:${key.key_id}`, signal, show) : null;
  if (live) firstLook(`${root}/keys/${key.key_id}`, { seesUsage, signal, show });
  else update(answer, verdictBanner(verdict({ keys: [ended(key)], refusals: [], hour: null })));
  const tier = Object.keys(key.limits).length ? "Its own, instead of its tier's" : `Of tier ${key.tier}`;
  const left = [
    live && card("Limits", { about: tier, aside: limitActs }, bars),
    seesUsage && usageCard(key, root, signal),
    live && seesUsage && card("Recent refusals", {}, refusals),
  ];
  const right = [card("About this key", {}, facts(keyFacts(key).filter(Boolean))), more];
  const stacks = [left, right].map((cards) => h("div", { class: "stack" }, cards));
  const node = h("div", { class: "stack" }, answer, h("div", { class: "wide-left" }, stacks));
  return { node, live };
}

// Nobody counts requests of a key that has ended.
const ended = (record) => ({ record, limits: { limits: [], in_flight: [] } });

// The stream may take a moment; what it tells of is fetched once before, and where that fails, it tells of it yet.
async function firstLook(path, { seesUsage, signal, show }) {
  const parts = [ask(`${path}/limits`, { signal }), seesUsage && ask(`${path}/refusals`, { signal })];
  const [limits, refused] = await Promise.all(parts).catch(() => []);
  if (limits && !signal.aborted) show({ limits, refusals: refused?.refusals ?? null, hour: null });
}

function usageCard(key, root, signal) {
  const chart = trafficChart("Requests", signal);
  const span = spanPicker(() => place.reload());
  const load = () =>
    ask(withQuery(`${root}/usage`, { key_id: key.key_id, by: "none", ...span.range() }), { signal });
  const place = loaded(signal, load, (usage) => {
    chart.show(usage);
    return null;
  });
  return card("Requests", { aside: span.node }, chart.node, place);
}
