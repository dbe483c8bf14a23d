// The answer to a consumer's first question: are my keys all right, and if not, why, until when, what now?

import { h } from "../dom.js";
import { allowance, clock, day, limitTitle, number, plural } from "../format.js";
import { banner, countdown } from "./basics.js";
import { advice, atLeast, codeTitle, totalOf } from "./codes.js";
import { stateOf } from "./keys.js";
import { isCoolDown, isFull, refusesNow, shareUsed } from "./meter.js";

const SOON_MS = 7 * 86_400_000;
const LATELY_MS = 120_000;
const NEAR = 0.8;
// What takes longer than so many seconds is told with the time of day.
const MINUTE = 60;
const SHARED = { user: "all of your keys together", all: "everybody together" };

/**
 * Return {tone, title, lines} about keys: [{record, limits}], their latest refusals and the usage of the hour.
 * The worst comes first: what refuses now, what refused a moment ago, what soon will.
 */
export function verdict({ keys, refusals, hour }, now = Date.now()) {
  const first = (look) => keys.reduce((found, key) => found ?? look(key, now), null);
  return (
    first(refusingOf) ??
    first(endedOf) ??
    latelyOf(keys, refusals, now) ??
    first(soonOf) ??
    goodOf(keys, hour)
  );
}

/** Return keys with the ones that need a look first. */
export function worstFirst(keys, now = Date.now()) {
  const looks = [refusingOf, endedOf, (key) => stateOf(key.record, now).word === "in grace", soonOf];
  const rank = (key) => {
    const place = looks.findIndex((look) => look(key, now));
    return place < 0 ? looks.length : place;
  };
  return keys.toSorted((one, other) => rank(one) - rank(other));
}

export const verdictBanner = ({ tone, title, lines }) =>
  banner(
    tone,
    title,
    lines.filter(Boolean).map((line) => h("p", {}, line)),
  );

function endedOf({ record }, now) {
  const { word } = stateOf(record, now);
  if (word === "active" || word === "in grace") return null;
  const what =
    word === "disabled" ? "Ask whoever runs this API to enable it." : "Make a new key, or use another one.";
  return {
    tone: "bad",
    title: `Key ${record.name} is ${word}`,
    lines: ["Every request with it is refused.", what],
  };
}

function refusingOf({ record, limits }, now) {
  // Of several limits the one that takes longest says when a request passes.
  const [worst] = limits.limits.filter(refusesNow).sort((a, b) => b.retry_seconds - a.retry_seconds);
  if (worst) return overLimit(record, worst, now);
  const full = limits.in_flight.find(isFull);
  if (!full) return null;
  return {
    tone: "warn",
    title: `Key ${record.name} has ${plural(full.in_flight, "request")} in flight, as many as it may`,
    lines: [
      "The next one passes as soon as one of them has been answered.",
      advice("too_many_concurrent_requests"),
    ],
  };
}

function overLimit(record, limit, now) {
  const code = isCoolDown(limit) ? "cooling_down" : limit.quota ? "quota_exceeded" : "rate_limited";
  const shared = SHARED[limit.per];
  const whose = shared ? `, of ${shared}` : "";
  const titles = {
    cooling_down: `Key ${record.name} is cooling down`,
    quota_exceeded: `Key ${record.name} has used up its quota of ${allowance(limit)}${whose}`,
    rate_limited: `Key ${record.name} is over its limit of ${allowance(limit)}${whose}`,
  };
  const why = isCoolDown(limit) ? "It went on sending although it was refused. " : "";
  return {
    tone: "bad",
    title: titles[code],
    lines: [
      [
        why,
        "The next request passes in ",
        h("strong", {}, countdown(limit.retry_seconds)),
        limit.retry_seconds >= MINUTE && `, at ${clock(now + limit.retry_seconds * 1000, now)}`,
        ", until then each is refused with 429.",
      ],
      advice(code),
    ],
  };
}

function latelyOf(keys, refusals, now) {
  const lately = refusals.filter((one) => now - new Date(one.at) < LATELY_MS);
  const latest = lately[0];
  if (!latest) return null;
  const name = keys.find(({ record }) => record.key_id === latest.key_id)?.record.name ?? latest.key_id;
  const limits = latest.violated?.length ? ` (${latest.violated.map(limitTitle).join(", ")})` : "";
  const count = `${atLeast(lately.length, "request")} ${lately.length === 1 ? "was" : "were"}`;
  return {
    tone: "warn",
    title: `Key ${name} was refused a moment ago: ${codeTitle(latest.code).toLowerCase()}${limits}`,
    lines: [
      `${count} refused within the last two minutes. Right now there is room again.`,
      advice(latest.code),
    ],
  };
}

function soonOf({ record, limits }, now) {
  const near = limits.limits.find((limit) => !limit.shadow && (shareUsed(limit) ?? 0) >= NEAR);
  if (near) {
    return {
      tone: "warn",
      title: `Key ${record.name} is near its limit of ${allowance(near)}`,
      lines: [
        `${number(near.remaining)} of ${number(near.capacity)} are left. Send more slowly, and nothing will be refused.`,
      ],
    };
  }
  const end = record.grace_until ?? record.expires_at;
  if (!end || new Date(end) - now > SOON_MS) return null;
  return {
    tone: "warn",
    title: `Key ${record.name} ${record.grace_until ? "was replaced and " : ""}ends on ${day(end)}`,
    lines: [
      record.grace_until
        ? "Have all programs use the key that replaces it by then."
        : "Replace it before: programs that use it are refused from then on.",
    ],
  };
}

function goodOf(keys, hour) {
  const counts = hour?.series[0]?.total;
  const total = counts ? totalOf(counts) : 0;
  const refused = total - (counts?.allowed ?? 0);
  const what =
    keys.length === 1 ? `Key ${keys[0].record.name} is working` : `All ${keys.length} keys are working`;
  const used = total
    ? `${plural(total, "request")} in the last hour, ${refused ? number(refused) : "none"} of them refused.`
    : "No requests in the last hour.";
  return { tone: "good", title: what, lines: [`Nothing is limited right now. ${used}`] };
}
