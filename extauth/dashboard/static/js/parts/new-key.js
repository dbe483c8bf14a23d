// Asking an operator for a new key of anybody.

import { h } from "../dom.js";
import { session } from "../session.js";
import { askInDialog, showSecret } from "./dialog.js";
import { selectField, textField } from "./fields.js";

/** Ask for a key and have `create(body)` make it; return its record, or null. */
export async function newKey(create, { user = "" } = {}) {
  const made = await askInDialog({
    title: "New key",
    confirm: "Create the key",
    content: fields(user),
    act: (form) => create(bodyOf(form)),
  });
  if (!made) return null;
  const about = `Hand it to ${made.user_id} on a safe way.`;
  await showSecret({ title: `The new key ${made.name}`, secret: made.key, about });
  return made;
}

function bodyOf(form) {
  const { scopes, ...others } = Object.fromEntries([...form].filter(([, value]) => value.trim()));
  return { user_id: "", name: "", ...others, scopes: scopes?.split(/[\s,]+/) ?? [] };
}

function fields(user) {
  const { tiers, environments, default_environment: usual } = session();
  const choice = (label, name, words, value) =>
    words.length > 1 &&
    selectField(
      label,
      words.map((word) => [word, word]),
      { name, value },
    );
  const whose = { name: "user_id", value: user, hint: "Whose key it is. Your API is told.", required: true };
  const example = (before, code, after) => h("span", {}, before, h("code", {}, code), after);
  return [
    h(
      "div",
      { class: "pair" },
      textField("User", whose),
      textField("Name", { name: "name", hint: "What it is for, such as laptop.", required: true }),
      choice("Tier", "tier", tiers, tiers[0]),
      choice("Environment", "environment", environments, usual),
    ),
    textField("Scopes", {
      name: "scopes",
      hint: example("With spaces between them, such as ", "orders:read invoices:*", "."),
    }),
    textField("Expires in", {
      name: "expires_in",
      hint: example("Such as ", "90d", "; empty: as the configuration says."),
    }),
  ];
}
