// One key, as an operator sees it: all that its owner sees, and the ways to stop it or to let it go on.

import { ask, change } from "../api.js";
import { h } from "../dom.js";
import { button, card, empty, pageHead, toast } from "../parts/basics.js";
import { auditTable } from "../parts/audit-table.js";
import { keyView } from "../parts/key-view.js";
import { isLiving, rotate } from "../parts/keys.js";
import { loaded } from "../parts/loaded.js";
import { canStop } from "../parts/stop.js";
import { stopButton } from "../parts/stop-button.js";
import { again } from "../router.js";
import { holds } from "../session.js";

export async function page({ id, signal }) {
  const key = await ask(`admin/keys/${encodeURIComponent(id)}`, { signal });
  const user = h("a", { href: `/dashboard/users/${encodeURIComponent(key.user_id)}` }, key.user_id);
  const view = keyView(key, "admin", signal, {
    refusals: { withAdvice: false, act: banAddress },
    limitActs:
      holds("extauth:keys:write") &&
      button("Reset", { tone: "tight", name: "Reset the limits of this key", onclick: () => reset(key) }),
    more: [holds("extauth:audit:read") && card("Changes", {}, changesOf(key.key_id, signal))].filter(Boolean),
  });
  const head = pageHead(key.name, {
    about: h("span", {}, h("span", { class: "mono" }, key.hint), " of ", user),
    back: { href: "/dashboard/keys", text: "Keys and users" },
    acts: [view.live, ...actsOf(key)],
  });
  return { title: key.name, node: h("div", {}, head, view.node) };
}

function actsOf(key) {
  const writes = holds("extauth:keys:write");
  if (key.revoked_at) return [];
  return [
    writes && !key.active && button("Enable", { tone: "primary", onclick: () => enable(key) }),
    writes &&
      isLiving(key) &&
      !key.rotated_to &&
      button("Replace", { onclick: () => then(rotate(key, "admin"), "The key is replaced.") }),
    canStop() && stopButton({ keyId: key.key_id, userId: key.user_id }, { tone: "danger", onDone: again }),
  ];
}

const banAddress = ({ client_ip: address }) =>
  address && holds("extauth:bans:write") && stopButton({ address });

async function enable(key) {
  await change("POST", `admin/keys/${key.key_id}/enable`);
  toast(`The key ${key.name} is enabled.`);
  again();
}

async function reset(key) {
  await change("POST", `admin/keys/${key.key_id}/limits/reset`);
  toast("What this key has spent is forgotten.");
}

async function then(done, text = null) {
  if (!(await done)) return;
  if (text) toast(text);
  again();
}

function changesOf(id, signal) {
  return loaded(
    signal,
    () => ask(`admin/audit?key_id=${id}&limit=5`, { signal }),
    ({ entries }) =>
      entries.length
        ? auditTable(entries, { short: true })
        : empty("No changes yet", "Every change of this key stands here."),
  );
}
