// Hears what changes, as the server tells it. Connects again after a break, and rests while nobody looks.

import { ask } from "./api.js";

const WAITS_MS = [1000, 2000, 5000, 10_000];

/** Follow a topic until `signal` says stop. `onState` hears live, waiting or paused. */
export function follow(topic, { signal, onData, onState = () => {} }) {
  let source = null;
  let failures = 0;
  let timer = 0;

  // A stream ends with its session, or with the server: asking tells which, and an end of the session is heard.
  const isStillSignedIn = () => ask("session").catch(() => null);

  function open() {
    close();
    if (signal.aborted || document.hidden) return;
    source = new EventSource(`/dashboard/api/events?topic=${encodeURIComponent(topic)}`);
    source.onmessage = (event) => {
      failures = 0;
      onState("live");
      onData(JSON.parse(event.data));
    };
    source.addEventListener("end", retry);
    source.onerror = retry;
  }

  function retry() {
    close();
    onState("waiting");
    timer = setTimeout(open, WAITS_MS[Math.min(failures, WAITS_MS.length - 1)]);
    failures += 1;
    isStillSignedIn();
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function look() {
    if (document.hidden) {
      close();
      onState("paused");
    } else {
      open();
    }
  }

  if (signal.aborted) return;
  document.addEventListener("visibilitychange", look, { signal });
  signal.addEventListener("abort", close);
  open();
}
