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
  isOperator ? [...below("/dashboard", OPERATOR), ...below("/dashboard/me", CONSUMER)] : below("/dashboard", CONSUMER);

const OWN = [
  ["", "Overview", "home"],
  ["/keys", "Keys", "key"],
  ["/usage", "Usage", "chart"],
];

const ALL = [
  ["", "Overview", "home"],
  ["/keys", "Keys and users", "key"],
  ["/usage", "Traffic", "chart"],
  ["/limits", "Limits", "gauge"],
  ["/bans", "Bans", "ban"],
  ["/audit", "Audit log", "list"],
  ["/system", "System", "system"],
];

const ways = (root, rows) => rows.map(([path, text, icon]) => ({ href: root + (path || "/"), text, icon }));

/** Return the groups of links that stand at the side. */
export function waysFor(isOperator) {
  if (!isOperator) return [{ title: null, pages: ways("/dashboard", OWN) }];
  return [
    { title: "Everybody", pages: ways("/dashboard", ALL) },
    { title: "Your own keys", pages: ways("/dashboard/me", OWN) },
  ];
}
