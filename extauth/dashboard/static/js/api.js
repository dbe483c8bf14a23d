// Speaks to the server. Refusals become ApiProblem; whoever listens hears when the session is over.

const ROOT = "/dashboard/api/";
let csrf = "";
let onEnd = () => {};
let lastUse = Date.now();

/** A refusal (RFC 9457), or a server that can't be reached (status 0). */
export class ApiProblem extends Error {
  constructor(status, body, retryAfter = 0) {
    super(body.detail ?? "The server gave no reason.");
    this.status = status;
    this.code = body.code ?? "unknown";
    this.errors = body.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

/** Return the problem of a server that doesn't answer. */
export const unreachable = () =>
  new ApiProblem(0, {
    code: "unreachable",
    detail: "No answer came. Is the service running, and is this computer online?",
  });

export const setToken = (token) => {
  csrf = token;
};
export const whenSessionEnds = (listener) => {
  onEnd = listener;
};
export const sinceLastUse = () => (Date.now() - lastUse) / 1000;

/** Ask below /dashboard/api/ and return the JSON. Raises ApiProblem, and AbortError when `signal` says so. */
export async function ask(path, { method = "GET", body, signal, quiet = false } = {}) {
  const headers = { accept: "application/json" };
  if (method !== "GET") headers["x-csrf-token"] = csrf;
  if (body !== undefined) headers["content-type"] = "application/json";
  const asked = Date.now();
  const answer = await reach(path, {
    method,
    headers,
    signal,
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "same-origin",
  });
  if (answer.ok) {
    // To ask for the session is no use of it, here as on the server. There it is used when it is asked, and an
    // answer may take long.
    if (path !== "session" || method === "POST") lastUse = Math.max(lastUse, asked);
    return answer.status === 204 ? null : answer.json();
  }
  const problem = await problemOf(answer);
  if (answer.status === 401 && !quiet) onEnd(problem);
  throw problem;
}

export const change = (method, path, body = {}) => ask(path, { method, body });

/** Return a path with the parameters that have a value. */
export function withQuery(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

async function reach(path, options) {
  try {
    return await fetch(ROOT + path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
}

async function problemOf(answer) {
  const retryAfter = Number(answer.headers.get("retry-after") ?? 0);
  try {
    return new ApiProblem(answer.status, await answer.json(), retryAfter);
  } catch {
    return new ApiProblem(answer.status, { detail: `The server answered ${answer.status}.` }, retryAfter);
  }
}
