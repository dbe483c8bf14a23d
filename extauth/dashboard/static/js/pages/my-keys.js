// A consumer's keys: all of them, and the ways to make, replace and end them.

import { ask, withQuery } from "../api.js";
import { h } from "../dom.js";
import { day } from "../format.js";
import { ago, button, card, empty, pageHead, tags, toast } from "../parts/basics.js";
import { createOwn, isLiving, keyLink, revoke, rotate, stateBadge } from "../parts/keys.js";
import { paged, table } from "../parts/table.js";
import { again } from "../router.js";
import { own, session } from "../session.js";

export async function page({ signal }) {
  const list = await paged(
    async (cursor) => {
      const { keys, next_cursor: next } = await ask(withQuery("me/keys", { cursor }), { signal });
      return { rows: keys, next };
    },
    (keys) =>
      keys.length
        ? keyTable(keys)
        : empty("You have no keys yet", "Make one, and put it where your program reads it from."),
  );
  const make = session().may.create && button("New key", { tone: "primary", onclick: create });
  return {
    title: "Keys",
    node: h(
      "div",
      {},
      pageHead("Keys", { about: "Every key of yours, also those that have ended.", acts: [make] }),
      card("Your keys", {}, list),
    ),
  };
}

async function create() {
  const record = await createOwn();
  if (!record) return;
  toast(`The key ${record.name} is made.`);
  again();
}

function keyTable(keys) {
  return table(
    "Your keys",
    [
      { title: "Key", cell: (key) => keyLink(key, own(`/keys/${key.key_id}`)) },
      { title: "State", cell: stateBadge },
      { title: "Scopes", cell: (key) => tags(key.scopes) },
      { title: "Last used", cell: (key) => ago(key.last_used) },
      {
        title: "Expires",
        cell: (key) => (key.expires_at ? day(key.expires_at) : h("span", { class: "soft" }, "never")),
      },
      { title: "Actions", act: true, cell: acts },
    ],
    keys,
    { key: (key) => key.key_id },
  );
}

/** Return what may be done with a key of one's own. */
export function acts(key) {
  const { may } = session();
  if (!isLiving(key)) return null;
  return h(
    "span",
    { class: "acts" },
    may.rotate &&
      !key.rotated_to &&
      button("Replace", {
        tone: "tight",
        name: `Replace ${key.name}`,
        onclick: () => then(rotate(key, "me"), `The key ${key.name} is replaced.`),
      }),
    may.revoke &&
      button("Revoke", {
        tone: "tight danger",
        name: `Revoke ${key.name}`,
        onclick: () => then(revoke(key, "me"), `The key ${key.name} is revoked.`),
      }),
  );
}

async function then(change, text) {
  if (!(await change)) return;
  toast(text);
  again();
}
