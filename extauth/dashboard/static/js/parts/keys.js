// Keys as people see them: their state, their names, and the ways to make, replace and end them.

import { ask, change } from "../api.js";
import { h } from "../dom.js";
import { day } from "../format.js";
import { session } from "../session.js";
import { ago, badge, tags } from "./basics.js";
import { askInDialog, showSecret } from "./dialog.js";
import { choices, selectField, textField } from "./fields.js";

const LIFETIMES = [
  ["", "As the operator's policy says"],
  ["30d", "In 30 days"],
  ["90d", "In 90 days"],
  ["365d", "In a year"],
];
const GRACES = [
  ["", "As the operator's policy says"],
  ["0s", "At once"],
  ["1h", "In an hour"],
  ["24h", "In a day"],
  ["168h", "In a week"],
];

/** Return the state of a key: a word, and how bad it is. */
export function stateOf(key, now = Date.now()) {
  const isOver = (time) => time !== null && new Date(time) <= now;
  if (key.revoked_at) return { word: "revoked", tone: "bad" };
  if (isOver(key.expires_at)) return { word: "expired", tone: "bad" };
  if (key.rotated_to)
    return isOver(key.grace_until) ? { word: "replaced", tone: "bad" } : { word: "in grace", tone: "warn" };
  return key.active ? { word: "active", tone: "good" } : { word: "disabled", tone: "bad" };
}

export const isLiving = (key) => ["active", "in grace"].includes(stateOf(key).word);
export const stateBadge = (key) => {
  const { word, tone } = stateOf(key);
  return badge(word, `${tone} dot`);
};

/** Return a key's name as a link to its page, its id below. */
export function keyLink(key, href) {
  return h(
    "span",
    { class: "two-lines" },
    h("a", { href }, key.name),
    h("span", { class: "soft mono" }, key.hint),
  );
}

/** Return what there is to know of a key, as facts. */
export function keyFacts(key) {
  return [
    ["State", stateBadge(key)],
    ["Id", h("code", {}, key.key_id)],
    ["Tier", key.tier],
    ["Environment", key.environment],
    ["Scopes", tags(key.scopes)],
    ["Created", ago(key.created_at)],
    ["Last used", ago(key.last_used)],
    ["Expires", key.expires_at ? `${day(key.expires_at)}` : "never"],
    key.rotated_to && ["Replaced by", h("code", {}, key.rotated_to)],
    key.grace_until && ["Grace ends", ago(key.grace_until)],
    key.rotated_from && ["Replaces", h("code", {}, key.rotated_from)],
    key.revoked_at && ["Revoked", ago(key.revoked_at)],
    key.revoked_reason && ["Reason", key.revoked_reason],
  ];
}

/** Ask for a new key of one's own; return its record, or null. */
export async function createOwn() {
  const { scopes, environments, default_environment: usual } = session();
  const made = await askInDialog({
    title: "New key",
    confirm: "Create the key",
    content: [
      textField("Name", {
        name: "name",
        hint: "What it is for, such as laptop or nightly export.",
        required: true,
      }),
      environments.length > 1 &&
        selectField(
          "Environment",
          environments.map((name) => [name, name]),
          { name: "environment", value: usual },
        ),
      scopes.length > 0 &&
        choices(
          "Scopes",
          scopes.map((scope) => [scope, h("code", {}, scope), null, !scope.startsWith("extauth:")]),
          { name: "scopes" },
        ),
      selectField("Expires", LIFETIMES, { name: "expires_in" }),
    ],
    act: (form) =>
      change(
        "POST",
        "me/keys",
        given({
          name: form.get("name"),
          scopes: form.getAll("scopes"),
          environment: form.get("environment"),
          expires_in: form.get("expires_in"),
        }),
      ),
  });
  if (!made) return null;
  await showSecret({
    title: `Your new key ${made.record.name}`,
    secret: made.key,
    about: "Put it where your program reads it from.",
  });
  return made.record;
}

/** Ask for a key's replacement; return the new record, or null. `root` is me or admin. */
export async function rotate(key, root) {
  const made = await askInDialog({
    title: `Replace the key ${key.name}?`,
    confirm: "Replace the key",
    content: [
      h(
        "p",
        {},
        "A new key with the same scopes and limits is made. The old one goes on working for a while, so that nothing stops.",
      ),
      selectField("The old key ends", GRACES, { name: "grace" }),
    ],
    act: (form) => change("POST", `${root}/keys/${key.key_id}/rotate`, given({ grace: form.get("grace") })),
  });
  if (!made) return null;
  const record = made.record ?? made;
  await showSecret({
    title: `The key that replaces ${key.name}`,
    secret: made.key,
    about: "Put it in place of the old one.",
  });
  return record;
}

/** Ask whether a key is to end for good; return whether it did. */
export function revoke(key, root) {
  return askInDialog({
    title: `Revoke the key ${key.name}?`,
    confirm: `Revoke ${key.name}`,
    tone: "danger",
    content: [
      h(
        "p",
        {},
        "Programs that use ",
        h("code", {}, key.hint),
        " are refused from now on. This can't be undone.",
      ),
      key.key_id === session().key_id &&
        h("p", {}, h("strong", {}, "You are signed in with this key, so this ends your session too.")),
      textField("Reason", { name: "reason", hint: "For the record; may be left out." }),
    ],
    act: (form) => change("POST", `${root}/keys/${key.key_id}/revoke`, given({ reason: form.get("reason") })),
  });
}

/** Return all of the user's own keys that are on one page, by id. */
export async function ownKeys(signal) {
  const { keys } = await ask("me/keys", { signal });
  return keys;
}

const given = (fields) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== ""));
