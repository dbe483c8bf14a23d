// Who is signed in. The key that is typed goes to the server once and is kept nowhere.

import { ApiProblem, ask, setToken } from "./api.js";

let current = null;

export const session = () => current;
export const isOperator = () => current?.role === "operator";

/** Tell whether the session's key may use a part of the admin API. */
export const holds = (scope) =>
  Boolean(current) &&
  current.scopes.some(
    (held) =>
      held === "extauth:admin" ||
      held === scope ||
      (held.endsWith(":*") && scope.startsWith(held.slice(0, -1))),
  );

/** Return the path of a page for one's own keys: operators have theirs below /me. */
export const own = (path = "") => (isOperator() ? `/dashboard/me${path}` : `/dashboard${path || "/"}`);

/** Return where a problem's code is explained, or null while no documentation is served. */
export const explanation = (code) =>
  current?.docs ? `${current.docs.replace(/\/?$/, "/")}problems/${code}` : null;

/** Look whether a session goes on. */
export async function restore() {
  try {
    take(await ask("session", { quiet: true }));
  } catch (error) {
    if (!(error instanceof ApiProblem) || error.status !== 401) throw error;
    take(null);
  }
  return current;
}

/** Begin a session. Raises ApiProblem. */
export async function signIn(key) {
  take(await ask("session", { method: "POST", body: { key }, quiet: true }));
}

/** End the session, here and on the server. Raises ApiProblem, unless it is over already. */
export async function signOut() {
  try {
    await ask("session", { method: "DELETE", quiet: true });
  } catch (error) {
    if (error.status !== 401) throw error;
  }
  take(null);
}

export const forget = () => take(null);

function take(told) {
  current = told;
  setToken(told?.csrf ?? "");
}
