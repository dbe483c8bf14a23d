// A part of a page that is fetched for itself: it waits, shows, or says why it can't, without holding up the rest.

import { h, update } from "../dom.js";
import { failure } from "./failure.js";

/** Return the place of `show(await load())`; its `reload()` fetches anew. */
export function loaded(signal, load, show) {
  const place = h("div", {}, h("div", { class: "waiting" }));

  async function reload() {
    try {
      const shown = show(await load());
      if (!signal.aborted) update(place, shown);
    } catch (error) {
      if (error.status === undefined && error.name !== "AbortError") console.error(error);
      if (error.name !== "AbortError" && error.status !== 401) update(place, failure(error, reload));
    }
  }

  place.reload = reload;
  reload();
  return place;
}
