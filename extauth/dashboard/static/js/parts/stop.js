// Stopping somebody who does harm: the key, all keys of its user, or an address, for a while or for good.

import { change } from "../api.js";
import { h } from "../dom.js";
import { holds } from "../session.js";
import { toast } from "./basics.js";
import { askInDialog } from "./dialog.js";
import { choices, selectField, textField } from "./fields.js";

export const BAN_TIMES = [
  ["1h", "1 hour"],
  ["24h", "1 day"],
  ["168h", "7 days"],
  ["720h", "30 days"],
];
const UNTIL = "until the ban ends or is lifted";

/** Ask how somebody is to be stopped, and do it; return whether it was done. */
export async function stop({ keyId = null, userId = null, address = null }) {
  const ways = waysOf(keyId, userId, address);
  const lasting = selectField("A ban lasts", BAN_TIMES, { name: "lasts" });
  const choose = (way) => {
    lasting.hidden = !way.isBan;
  };
  choose(ways[0]);
  const done = await askInDialog({
    title: `Stop ${keyId ? `key ${keyId}` : userId ? `user ${userId}` : address}`,
    confirm: "Stop it now",
    tone: "danger",
    content: [
      choices(
        "How",
        ways.map(({ value, text, hint }, index) => [value, text, hint, index === 0]),
        {
          name: "way",
          type: "radio",
          onchange: ({ target }) => choose(ways.find(({ value }) => value === target.value)),
        },
      ),
      lasting,
      textField("Reason", { name: "reason", hint: "For the list of bans and the audit log." }),
    ],
    act: async (form) => {
      const way = ways.find(({ value }) => value === form.get("way"));
      await way.act(form.get("lasts"), form.get("reason"));
      return way;
    },
  });
  if (done) toast(done.after);
  return Boolean(done);
}

function waysOf(keyId, userId, address) {
  const bans = holds("extauth:bans:write");
  const keys = holds("extauth:keys:write");
  return [
    bans && keyId && ban(`key:${keyId}`, `Ban the key ${keyId}`),
    bans && userId && ban(`user:${userId}`, `Ban the user ${userId}`, "all of its keys, "),
    bans && address && ban(address, `Ban the address ${address}`, "with whatever key, "),
    keys &&
      keyId && {
        value: "disable",
        text: "Disable the key",
        hint: "Refused until somebody enables it again.",
        after: `Key ${keyId} is disabled.`,
        act: () => change("POST", `admin/keys/${keyId}/disable`),
      },
    keys &&
      keyId && {
        value: "revoke",
        text: "Revoke the key",
        hint: "Refused for good; this can't be undone.",
        after: `Key ${keyId} is revoked.`,
        act: (_lasts, reason) => change("POST", `admin/keys/${keyId}/revoke`, reason ? { reason } : {}),
      },
  ].filter(Boolean);
}

function ban(subject, text, what = "") {
  return {
    value: subject,
    isBan: true,
    text,
    hint: `Refused, ${what}${UNTIL}.`,
    after: `${subject} is banned.`,
    act: (lasts, reason) => change("POST", "admin/bans", { subject, lasts, ...(reason ? { reason } : {}) }),
  };
}

export const canStop = () => holds("extauth:bans:write") || holds("extauth:keys:write");

/** Ask whether a ban is to be lifted, and do it. */
export async function lift(ban) {
  const done = await askInDialog({
    title: `Lift the ban of ${ban.subject}?`,
    confirm: "Lift the ban",
    content: [
      h(
        "p",
        {},
        "It may send requests again within a second. Failed authentications are counted from nought.",
      ),
    ],
    act: () => change("DELETE", `admin/bans/${ban.id}`, undefined),
  });
  if (done) toast(`The ban of ${ban.subject} is lifted.`);
  return Boolean(done);
}
