// What may come of a request, in the words of people: titles, and what to do about a refusal.

import { h } from "../dom.js";
import { duration, plural } from "../format.js";
import { explanation } from "../session.js";

/** The outcomes that usage is counted by, as charts stack them. */
export const OUTCOMES = [
  { name: "allowed", title: "Allowed" },
  { name: "rate_limited", title: "Rate limited" },
  { name: "throttled", title: "Throttled" },
  { name: "refused", title: "Refused" },
  { name: "failed", title: "Failed" },
];

/** Return how many requests there were, whatever came of them. */
export const totalOf = (counts) => OUTCOMES.reduce((sum, { name }) => sum + (counts[name] ?? 0), 0);

const CODES = {
  ambiguous_credentials: ["Two different keys", "Send the key once, in one header."],
  ambiguous_path: [
    "Path reads in two ways",
    "Send the path in its plain form, without .., //, ; or needless escapes.",
  ],
  missing_key: ["No key sent", "Send it as Authorization: Bearer <key> or X-API-Key: <key>."],
  invalid_key: ["Key not valid", "Check that the whole key was copied, and that it has not ended."],
  insufficient_scope: ["Scope missing", "Use a key that holds the scope, or ask for one."],
  route_denied: ["Nobody may call this path", "Check the address of the request."],
  rate_limited: ["Over the rate limit", "Wait as Retry-After says, then send more slowly."],
  quota_exceeded: ["Quota used up", "Wait until it begins anew, or ask for a larger one."],
  cooling_down: [
    "Cooling down",
    "Send nothing until Retry-After is over, and have the client wait whenever it is told to.",
  ],
  too_many_concurrent_requests: [
    "Too many at once",
    "Send the next request when an earlier one has been answered.",
  ],
  store_unavailable: ["Could not be checked", "Try again after Retry-After."],
  overloaded: ["Too busy to check", "Try again after Retry-After."],
  internal_error: ["A fault of the service", "Report the request id to the operator."],
};

// Of a flood the server keeps so many refusals of a key each second.
const KEPT_OF_FLOOD = 10;

/** Return how many refusals there were at least: "3 requests", "10 requests or more". */
export const atLeast = (count, word) => plural(count, word) + (count < KEPT_OF_FLOOD ? "" : " or more");

export const codeTitle = (code) => CODES[code]?.[0] ?? code;

/** Return what to do about a refusal, with a way to read more where documentation is served. */
export function advice(code, retryAfter = 0) {
  const wait = retryAfter > 0 ? ` Retry-After was ${duration(retryAfter)}.` : "";
  return [(CODES[code]?.[1] ?? "See the documentation of the code.") + wait, " ", explained(code, "More")];
}

/** Return a link to a code's page, or nothing. */
function explained(code, text = code) {
  const href = explanation(code);
  return (
    href &&
    h(
      "a",
      {
        href,
        class: "inline",
        target: "_blank",
        rel: "noopener",
        "aria-label": `${text}: ${code}, opens another page`,
      },
      text,
    )
  );
}
