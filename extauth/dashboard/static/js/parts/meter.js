// Bars for limits: how much of a bucket, a quota or of the slots is in use, and when it is free again.

import { h } from "../dom.js";
import { allowance, duration, limitTitle, number, percent, rateOf } from "../format.js";
import { badge, countdown } from "./basics.js";

const NEAR = 0.8;
const WHOSE = {
  user: "all your keys together",
  ip: "each address",
  route: "each route",
  all: "everybody together",
};

export const isCoolDown = (limit) => limit.algorithm === "cool_down";
export const isFull = (slots) => slots.in_flight !== null && slots.in_flight >= slots.max;
export const refusesNow = (limit) => Boolean(limit.would_refuse) && !limit.shadow;
export const shareUsed = (limit) =>
  limit.remaining === null || !limit.capacity ? null : 1 - limit.remaining / limit.capacity;

/** Return a bar that is filled by a share from 0 to 1. */
function track(share, tone = toneOf(share)) {
  return h(
    "div",
    { class: `track ${tone}` },
    h("span", { style: { "--share": String(Math.min(1, Math.max(0, share))) } }),
  );
}

const toneOf = (share) => (share >= 1 ? "bad" : share >= NEAR ? "warn" : "");

/** Return a share as a bar with its number beside it. */
export const shareBar = (share, tone) =>
  h("div", { class: "share" }, track(share, tone), h("span", { class: "number" }, percent(share)));

/** Return the bars of all limits of a key. */
export function meters(standing) {
  if (standing.problem) return h("p", { class: "soft" }, standing.problem);
  const shown = [...standing.limits.map(limitMeter), ...standing.in_flight.map(slotMeter)];
  if (!shown.length) return h("p", { class: "soft" }, "This key has no limits.");
  return h("div", { class: "stack stack-close" }, shown);
}

function limitMeter(limit) {
  if (isCoolDown(limit)) return coolDownMeter(limit);
  const marks = [
    limit.shadow && badge("shadow"),
    WHOSE[limit.per] && h("span", { class: "soft" }, WHOSE[limit.per]),
  ];
  if (limit.remaining === null) {
    return meter(title(limit), marks, allowanceOf(limit), "counted by address or route", null, limit.name);
  }
  const left = `${number(limit.remaining)} of ${number(limit.capacity)} left`;
  const share = limit.would_refuse ? 1 : shareUsed(limit);
  const tone = limit.shadow ? "idle" : toneOf(share);
  return meter(title(limit), marks, allowanceOf(limit), [left, " · ", until(limit)], share, limit.name, tone);
}

const title = (limit) => (limit.quota ? "Quota" : limitTitle(limit.name));
const allowanceOf = (limit) =>
  allowance(limit) + (limit.capacity === rateOf(limit)[0] ? "" : `, up to ${number(limit.capacity)} at once`);

function until(limit) {
  if (limit.shadow && limit.would_refuse) return "would refuse, were it not on trial";
  if (limit.would_refuse) return ["passes again in ", countdown(limit.retry_seconds)];
  if (!limit.reset_seconds) return "nothing in use";
  return [
    limit.algorithm === "token_bucket" ? "full again in " : "begins anew in ",
    countdown(limit.reset_seconds),
  ];
}

function coolDownMeter(limit) {
  const state = limit.would_refuse
    ? ["cooling down, passes again in ", countdown(limit.retry_seconds)]
    : "not cooling down";
  return meter("Cool-down", [], "after too many refusals", state, limit.would_refuse ? 1 : 0, limit.name);
}

function slotMeter(slots) {
  const queue = slots.queue ? `, ${number(slots.queue)} more may wait ${duration(slots.wait_ms / 1000)}` : "";
  const about = `up to ${number(slots.max)} at once${queue}`;
  if (slots.in_flight === null)
    return meter("Requests in flight", [], about, "counted by address or route", null, slots.name);
  const used = `${number(slots.in_flight)} of ${number(slots.max)} slots in use`;
  return meter("Requests in flight", [], about, used, slots.in_flight / slots.max, slots.name);
}

function meter(name, marks, about, state, share, key, tone = toneOf(share)) {
  return h(
    "div",
    { class: "meter", dataset: { key } },
    h(
      "div",
      { class: "meter-text" },
      h("span", {}, h("strong", {}, name), " ", h("span", { class: "soft" }, about), " ", marks),
      h("span", {}, state),
    ),
    share !== null && track(share, tone),
  );
}
