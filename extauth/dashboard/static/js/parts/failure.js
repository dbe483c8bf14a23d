// What stands where something could not be fetched: why, and a way to try again.

import { h } from "../dom.js";
import { duration } from "../format.js";
import { banner, button } from "./basics.js";

const TITLES = {
  0: "The server can't be reached",
  403: "This needs a scope that your key doesn't have",
  404: "There is no such thing",
  429: "Too many tries",
  503: "The store can't be reached",
};

/** Return a message about a failure; `retry` is called by its button. */
export function failure(error, retry = null) {
  const wait = error.retryAfter ? ` Try again in ${duration(error.retryAfter)}.` : "";
  return banner(
    "bad",
    TITLES[error.status] ?? "This didn't work",
    h("p", {}, error.message + wait),
    retry && h("p", {}, button("Try again", { onclick: retry })),
  );
}
