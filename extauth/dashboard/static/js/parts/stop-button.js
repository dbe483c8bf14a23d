// The button in a row that leads to stopping somebody.

import { button } from "./basics.js";
import { stop } from "./stop.js";

/** Return it; `onDone` is called once they are stopped. */
export function stopButton(whom, { onDone = () => {}, tone = "tight danger" } = {}) {
  const name = whom.keyId ?? whom.userId ?? whom.address;
  const onclick = async () => {
    if (await stop(whom)) onDone();
  };
  return button("Stop…", { tone, name: `Stop ${name}`, onclick });
}
