// Says whether what is shown is kept up to date.

import { h } from "../dom.js";
import { follow } from "../live.js";

const STATES = {
  live: ["good dot", "Live"],
  waiting: ["warn dot", "Reconnecting"],
  paused: ["", "Paused"],
  starting: ["", "Connecting"],
};

/** Follow a topic; return the badge that tells of it. */
export function liveBadge(topic, signal, onData) {
  const place = h("span", {});

  function show(state) {
    const [tone, text] = STATES[state];
    if (place.textContent === text) return;
    place.className = `badge ${tone}`;
    place.textContent = text;
  }

  show("starting");
  follow(topic, { signal, onData, onState: show });
  return place;
}
