// All pages: which address shows which, for whom, and how the ways to them are called.

const CONSUMER = [
  ["", () => import("./pages/home.js")],
  ["/keys", () => import("./pages/my-keys.js")],
  ["/keys/:id", () => import("./pages/my-key.js")],
  ["/usage", () => import("./pages/my-usage.js")],
];

const OPERATOR = [
  ["", () => import("./pages/overview.js")],
  ["/keys", () => import("./pages/keys.js")],
  ["/keys/:id", () => import("./pages/key.js")],
  ["/users/:id", () => import("./pages/user.js")],
  ["/usage", () => import("./pages/traffic.js")],
  ["/limits", () => import("./pages/limits.js")],
  ["/bans", () => import("./pages/bans.js")],
  ["/audit", () => import("./pages/audit.js")],
  ["/system", () => import("./pages/system.js")],
];

const below = (root, pages) => pages.map(([path, load]) => ({ path: root + path, load }));

/** Return the routes; operators have the pages of their own keys below /me. */
export const routesFor = (isOperator) =>
  isOperator
    ? [...below("/dashboard", OPERATOR), ...below("/dashboard/me", CONSUMER)]
    : below("/dashboard", CONSUMER);

const OWN = [
  ["", "Overview", "home"],
  ["/keys", "Keys", "key"],
  ["/usage", "Usage", "chart"],
];

// The last says which scope a page needs.
const ALL = [
  ["", "Overview", "home"],
  ["/keys", "Keys and users", "key", "extauth:keys:read"],
  ["/usage", "Traffic", "chart", "extauth:usage:read"],
  ["/limits", "Limits", "gauge", "extauth:keys:read"],
  ["/bans", "Bans", "ban", "extauth:bans:read"],
  ["/audit", "Audit log", "list", "extauth:audit:read"],
  ["/system", "System", "system", "extauth:admin"],
];

const ways = (root, rows) => rows.map(([path, text, icon]) => ({ href: root + (path || "/"), text, icon }));

/** Return the groups of links that stand at the side; `holds(scope)` tells whether a page can be read. */
export function waysFor(isOperator, holds) {
  if (!isOperator) return [{ title: null, pages: ways("/dashboard", OWN) }];
  return [
    {
      title: "Everybody",
      pages: ways(
        "/dashboard",
        ALL.filter(([, , , scope]) => !scope || holds(scope)),
      ),
    },
    { title: "Your own keys", pages: ways("/dashboard/me", OWN) },
  ];
}
