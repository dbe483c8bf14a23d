// What a page shows of one key, its owner's or an operator's.

import { askIfThere, withQuery } from "../api.js";
import { trafficChart } from "../charts.js";
import { h, update } from "../dom.js";
import { announce, card, facts } from "./basics.js";
import { isLiving, keyFacts } from "./keys.js";
import { liveBadge } from "./live-badge.js";
import { meters } from "./meter.js";
import { refusalTable } from "./refusals.js";
import { spanPicker } from "./spans.js";
import { verdict, verdictBanner } from "./verdict.js";
import { loaded } from "./loaded.js";

/** Return {node, live}. `root` is me or admin; `refusals` are options of the table of refusals. */
export function keyView(key, root, signal, { refusals: options = {}, more = [], limitActs = null } = {}) {
  const answer = h("div", {});
  const bars = h("div", {});
  const refusals = h("div", {});

  function show(told) {
    const found = verdict({ keys: [{ record: key, limits: told.limits }], refusals: told.refusals, hour: told.hour });
    update(answer, verdictBanner(found));
    announce(found.title);
    update(bars, meters(told.limits));
    update(refusals, refusalTable(told.refusals, options));
  }

  const live = isLiving(key) ? liveBadge(`key:${key.key_id}`, signal, show) : null;
  if (!live) update(answer, verdictBanner(verdict({ keys: [{ record: key, limits: { limits: [], in_flight: [] } }], refusals: [], hour: null })));
  const about = { about: `Of tier ${key.tier}`, aside: limitActs };
  const node = h("div", { class: "stack" }, answer,
    h("div", { class: "wide-left" },
      h("div", { class: "stack" },
        live && card("Limits", Object.keys(key.limits).length ? { ...about, about: "Its own, instead of its tier's" } : about, bars),
        usageCard(key, root, signal),
        live && card("Recent refusals", {}, refusals)),
      h("div", { class: "stack" }, card("About this key", {}, facts(keyFacts(key).filter(Boolean))), more)));
  if (live) firstLook(key, root, signal, show);
  return { node, live };
}

// The stream may take a moment; what it tells of is fetched once before.
async function firstLook(key, root, signal, show) {
  const path = `${root}/keys/${key.key_id}`;
  const [limits, refused] = await Promise.all([askIfThere(`${path}/limits`, { signal }), askIfThere(`${path}/refusals`, { signal })]);
  if (limits && !signal.aborted) show({ limits, refusals: refused?.refusals ?? [], hour: null });
}

function usageCard(key, root, signal) {
  const chart = trafficChart("Requests", signal);
  let span = null;
  const load = () => askIfThere(withQuery(`${root}/usage`, { key_id: key.key_id, by: "none", ...span.range() }), { signal });
  span = spanPicker(() => place.reload());
  const place = loaded(signal, load, (usage) => {
    chart.show(usage);
    return null;
  });
  return card("Requests", { aside: span.node }, chart.node, place);
}

