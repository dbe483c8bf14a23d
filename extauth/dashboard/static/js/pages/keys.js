// All keys and users: found by how an id, a name or a user begins, or listed by state.

import { ask, change, withQuery } from "../api.js";
import { h, icon, update } from "../dom.js";
import { plural } from "../format.js";
import { ago, button, card, empty, pageHead } from "../parts/basics.js";
import { failure } from "../parts/failure.js";
import { keyLink, stateBadge } from "../parts/keys.js";
import { newKey } from "../parts/new-key.js";
import { paged, table } from "../parts/table.js";
import { go } from "../router.js";
import { holds } from "../session.js";

const WAIT_MS = 200;
const WHOLE_KEY = /^\s*[a-z0-9]+_[a-z0-9]+_([A-Za-z0-9]{8,})_\S/;
const FILTERS = [
  ["", "All keys", {}],
  ["active", "Active", { active: true }],
  ["stopped", "Disabled or revoked", { active: false }],
  ["expiring", "Ending within 30 days", { active: true, expiring_within: "30d" }],
  ["unused", "Unused for 90 days", { active: true, unused_for: "90d" }],
];

export async function page({ query, signal }) {
  const place = h("div", { class: "stack" });
  const field = searchField(query.get("q") ?? "");
  const choice = query.get("show") ?? "";
  const filter = filterChoice(choice);
  let timer = 0;
  let searches = 0;

  async function look() {
    const text = withoutSecret(field);
    const search = (searches += 1);
    history.replaceState(null, "", withQuery("/dashboard/keys", { q: text, show: text ? "" : choice }));
    filter.hidden = Boolean(text);
    try {
      const shown = text
        ? found(text, await ask(withQuery("search", { q: text }), { signal }))
        : card("Keys", {}, await list(choice, signal));
      if (search === searches) update(place, shown);
    } catch (error) {
      if (error.name !== "AbortError" && error.status !== 401) update(place, failure(error, look));
    }
  }

  field.oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MS);
  };
  await look();
  return { title: "Keys and users", node: layout(field, filter, place) };
}

function layout(field, filter, place) {
  const make = holds("extauth:keys:write") && button("New key", { tone: "primary", onclick: create });
  const search = h(
    "form",
    { class: "bar", role: "search", onsubmit: (event) => event.preventDefault() },
    h("div", { class: "field with-icon search" }, icon("search"), field),
    filter,
  );
  const about = "Find a key by its id or name, or a user with all keys of theirs.";
  return h(
    "div",
    {},
    pageHead("Keys and users", { about, acts: [make] }),
    h("div", { class: "stack" }, search, place),
  );
}

const searchField = (value) =>
  h("input", {
    class: "input",
    type: "search",
    name: "q",
    value,
    "aria-label": "Search keys and users",
    placeholder: "Key id, name or user, from the beginning",
    autocomplete: "off",
    spellcheck: "false",
  });

function filterChoice(choice) {
  const show = (event) => go(withQuery("/dashboard/keys", { show: event.target.value }), { replace: true });
  return h(
    "select",
    { class: "input span", "aria-label": "Which keys are listed", onchange: show },
    FILTERS.map(([value, text]) => h("option", { value, selected: value === choice }, text)),
  );
}

// A whole key that was pasted stays in the browser: its id is enough, and an address is no place for a secret.
function withoutSecret(field) {
  const id = WHOLE_KEY.exec(field.value)?.[1];
  if (id) field.value = id;
  return field.value.trim();
}

async function create() {
  const record = await newKey((body) => change("POST", "admin/keys", body));
  if (record) go(`/dashboard/keys/${record.key_id}`);
}

function list(name, signal) {
  const [, , conditions] = FILTERS.find(([value]) => value === name) ?? FILTERS[0];
  const fetchPage = async (cursor) => {
    const { keys, next_cursor: next } = await ask(
      withQuery("admin/keys", { ...conditions, limit: 50, cursor }),
      { signal },
    );
    return { rows: keys, next };
  };
  return paged(fetchPage, (keys) =>
    keys.length
      ? keyTable("Keys, the oldest first", keys)
      : empty(
          "No keys here",
          "Make one with the button above, or on the command line:",
          "extauth keys create --user-id alice --name laptop",
        ),
  );
}

function found(text, { keys, users }) {
  if (!keys.length && !users.length) {
    return card(
      "Nothing found",
      {},
      empty(
        `Nothing begins with “${text}”`,
        "Key ids, names of keys and users are searched from their beginning, to the letter.",
      ),
    );
  }
  return [
    users.length > 0 &&
      card(
        "Users",
        { about: plural(users.length, "user") },
        table(
          "Users that were found",
          [
            {
              title: "User",
              cell: ({ user_id: user }) =>
                h("a", { href: `/dashboard/users/${encodeURIComponent(user)}` }, user),
            },
            { title: "Keys", right: true, cell: ({ keys: count }) => String(count) },
          ],
          users,
          { key: ({ user_id: user }) => user },
        ),
      ),
    keys.length > 0 &&
      card("Keys", { about: plural(keys.length, "key") }, keyTable("Keys that were found", keys)),
  ];
}

/** Return a table of anybody's keys. */
export function keyTable(caption, keys, { withUser = true } = {}) {
  return table(
    caption,
    [
      { title: "Key", cell: (key) => keyLink(key, `/dashboard/keys/${key.key_id}`) },
      withUser && {
        title: "User",
        cell: (key) => h("a", { href: `/dashboard/users/${encodeURIComponent(key.user_id)}` }, key.user_id),
      },
      { title: "Tier", cell: (key) => key.tier },
      { title: "State", cell: stateBadge },
      { title: "Last used", cell: (key) => ago(key.last_used) },
      { title: "Created", cell: (key) => ago(key.created_at) },
    ].filter(Boolean),
    keys,
    { key: (key) => key.key_id },
  );
}
