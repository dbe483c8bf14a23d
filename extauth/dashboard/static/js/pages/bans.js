// Who is banned, with a way to lift it; who fails to authenticate; and banning somebody.

import { ask, change } from "../api.js";
import { h } from "../dom.js";
import { moment } from "../format.js";
import { ago, badge, button, card, countdown, empty, pageHead, toast } from "../parts/basics.js";
import { askInDialog } from "../parts/dialog.js";
import { selectField, textField } from "../parts/fields.js";
import { loaded } from "../parts/loaded.js";
import { offenderTable } from "../parts/offenders.js";
import { BAN_TIMES, lift } from "../parts/stop.js";
import { table } from "../parts/table.js";
import { holds } from "../session.js";

export async function page({ signal }) {
  const bans = loaded(
    signal,
    () => ask("admin/bans", { signal }),
    (told) => banTable(told.bans, () => bans.reload()),
  );
  const offenders = loaded(
    signal,
    () => ask("admin/abuse/offenders?limit=20", { signal }),
    (told) => offenderTable(told.offenders, () => bans.reload()),
  );
  const refresh = () => [bans, offenders].forEach((part) => part.reload());
  return {
    title: "Bans",
    node: h(
      "div",
      {},
      pageHead("Bans", {
        about: "Whoever is banned is refused everything, until the ban ends or is lifted.",
        acts: [
          button("Refresh", { onclick: refresh }),
          holds("extauth:bans:write") &&
            button("Ban somebody", { tone: "primary", onclick: () => add(bans) }),
        ],
      }),
      h(
        "div",
        { class: "stack" },
        card("In force", {}, bans),
        card("Failed authentications", { about: "Within the last hour" }, offenders),
      ),
    ),
  };
}

function banTable(bans, onLifted) {
  if (!bans.length) {
    return empty(
      "Nobody is banned",
      "Addresses that send too many wrong keys are banned by themselves. To ban somebody, use the button above, or:",
      "extauth bans add 203.0.113.9 --for 24h --reason 'scans for keys'",
    );
  }
  const lifting = async (ban) => {
    if (await lift(ban)) onLifted();
  };
  return table(
    "Bans in force",
    [
      { title: "Who", cell: ({ subject }) => h("span", { class: "mono" }, subject) },
      { title: "Origin", cell: ({ origin }) => badge(origin, origin === "manual" ? "accent" : "") },
      { title: "Began", cell: ({ began_at: at }) => ago(at) },
      {
        title: "Ends in",
        cell: ({ ends_at: at }) =>
          h("span", { title: moment(at) }, countdown((new Date(at) - Date.now()) / 1000)),
      },
      {
        title: "Reason",
        cell: ({ reason, actor }) =>
          h(
            "span",
            { class: "two-lines" },
            reason || h("span", { class: "soft" }, "too many failures"),
            actor && h("span", { class: "soft mono" }, actor),
          ),
      },
      holds("extauth:bans:write") && {
        title: "Actions",
        act: true,
        cell: (ban) =>
          button("Lift", {
            tone: "tight",
            name: `Lift the ban of ${ban.subject}`,
            onclick: () => lifting(ban),
          }),
      },
    ].filter(Boolean),
    bans,
    { key: ({ id }) => id },
  );
}

async function add(bans) {
  const done = await askInDialog({
    title: "Ban somebody",
    confirm: "Ban",
    tone: "danger",
    content: [
      textField("Who", {
        name: "subject",
        required: true,
        hint: h(
          "span",
          {},
          "An address such as ",
          h("code", {}, "203.0.113.9"),
          ", ",
          h("code", {}, "key:KEY_ID"),
          " or ",
          h("code", {}, "user:USER_ID"),
          ".",
        ),
      }),
      selectField("For", BAN_TIMES, { name: "lasts" }),
      textField("Reason", { name: "reason", hint: "For this list and the audit log." }),
    ],
    act: (form) =>
      change(
        "POST",
        "admin/bans",
        Object.fromEntries([...form].filter(([name, value]) => value || name === "subject")),
      ),
  });
  if (!done) return;
  toast(`${done.subject} is banned.`);
  bans.reload();
}
