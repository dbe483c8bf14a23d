// Says numbers, times and rates in words that people read at a glance.

const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const MOMENT = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hour12: false,
});
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hour12: false });
const UNITS = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];
const MARKS = { day: "d", hour: "h", minute: "min", second: "s" };

export const number = (value) => WHOLE.format(value);
export const short = (value) => (value < 10_000 ? WHOLE.format(Math.round(value)) : SHORT.format(value));
export const plural = (count, word, words = `${word}s`) => `${number(count)} ${count === 1 ? word : words}`;

/** Return a share from 0 to 1 as a percentage; one that is small is never called nothing. */
export function percent(share) {
  if (!Number.isFinite(share) || share <= 0) return "0%";
  if (share < 0.01) return "<1%";
  return `${Math.min(100, Math.round(share * 100))}%`;
}

/** Return a rate of requests; slow ones with a decimal. */
export const perSecond = (value) => (value >= 10 ? short(value) : String(Math.round((value ?? 0) * 10) / 10));

/** Return seconds as the two largest units that matter: 3 min 20 s. */
export function duration(seconds) {
  if (seconds > 0 && seconds < 0.95) return `${Math.round(seconds * 1000)} ms`;
  let left = Math.max(0, Math.ceil(seconds));
  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    if (count || parts.length) parts.push([count, unit]);
    left %= size;
  }
  const shown = parts.slice(0, 2).filter(([count]) => count);
  return shown.length ? shown.map(([count, unit]) => `${count} ${MARKS[unit]}`).join(" ") : "0 s";
}

/** Return microseconds as a latency. */
export function latency(us) {
  if (us === null || us === undefined) return "–";
  if (us < 1000) return `${Math.round(us)} µs`;
  return us < 1_000_000 ? `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(1)} s`;
}

export const day = (text) => DAY.format(new Date(text));
/** Return the time of day, with the date where that is another one than of `now`. */
export function clock(time, now = Date.now()) {
  const isToday = day(time) === day(now);
  return CLOCK.format(time) + (isToday ? "" : ` on ${day(time)}`);
}

export const moment = (text) => MOMENT.format(new Date(text));

/** Return how long ago or ahead a time is, in one unit. */
export function relative(text, now = Date.now()) {
  const seconds = (new Date(text) - now) / 1000;
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  const count = Math.round(Math.abs(seconds) / size);
  if (count < 1) return "now";
  return seconds < 0 ? `${count} ${MARKS[unit]} ago` : `in ${count} ${MARKS[unit]}`;
}

/** Return how many requests a limit gives in which period, as people say it. */
export function rateOf({ rate, period_seconds: seconds }) {
  if (seconds === null) return [rate, "a month"];
  const period = Math.round(seconds * 1e6);
  // The rate comes in lowest terms: 1000 an hour as one in 3.6 s. The shortest unit with a whole number says it best.
  for (const [unit, size] of UNITS.toReversed()) {
    const count = (rate * size * 1e6) / period;
    if (Number.isInteger(count)) return [count, `${unit === "hour" ? "an" : "a"} ${unit}`];
  }
  return [rate, `in ${duration(seconds)}`];
}

/** Return what a limit allows: 10 requests a second. */
export function allowance(limit) {
  const [count, period] = rateOf(limit);
  return `${plural(count, "request")} ${period}`;
}

/** Return the plain word for a bucket, quota or slot as the headers name it. */
export function limitTitle(name) {
  const words = name.replaceAll("-", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
