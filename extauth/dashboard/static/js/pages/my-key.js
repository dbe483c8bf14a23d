// One key of a consumer: its limits live, what it has used, what was refused, and what can be done with it.

import { ask } from "../api.js";
import { h } from "../dom.js";
import { pageHead } from "../parts/basics.js";
import { keyView } from "../parts/key-view.js";
import { own } from "../session.js";
import { acts } from "./my-keys.js";

export async function page({ id, signal }) {
  const key = await ask(`me/keys/${encodeURIComponent(id)}`, { signal });
  const view = keyView(key, "me", signal);
  const head = pageHead(key.name, {
    about: key.hint,
    back: { href: own("/keys"), text: "Keys" },
    acts: [view.live, acts(key)],
  });
  return { title: key.name, node: h("div", {}, head, view.node) };
}
