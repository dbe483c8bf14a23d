// Which page an address shows. Links within the dashboard change the page without loading all of it again.

import { unreachable } from "./api.js";
import { h } from "./dom.js";
import { failure } from "./parts/failure.js";

let routes = [];
let main = null;
let current = new AbortController();
let onShown = () => {};
let shown = "";

/** Show pages in `place` from now on. A route is {path, load}; `shown` hears the path of each page. */
export function start(place, table, shown) {
  routes = table;
  main = place;
  onShown = shown;
  return show(location.pathname, { isFirst: true });
}

/** Stop what the current page does. */
export const leave = () => current.abort();

/** Go to an address within the dashboard. */
export function go(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  return show(location.pathname);
}

/** Show the current page anew. */
export const again = () => show(location.pathname, { isBack: true });

async function show(path, { isFirst = false, isBack = false } = {}) {
  current.abort();
  const visit = (current = new AbortController());
  onShown(path);
  shown = location.pathname + location.search;
  try {
    const { load, parameters } = find(path);
    const module = await load().catch(() => Promise.reject(unreachable()));
    const page = await module.page({
      ...parameters,
      query: new URLSearchParams(location.search),
      signal: visit.signal,
    });
    if (!visit.signal.aborted) put(page.title, page.node);
  } catch (error) {
    if (error.name === "AbortError" || error.status === 401 || visit.signal.aborted) return;
    if (error.status === undefined) console.error(error);
    put(
      "Not shown",
      h(
        "div",
        {},
        h("h1", { class: "unseen", tabindex: "-1" }, "This page can't be shown"),
        failure(error, again),
      ),
    );
  }
  if (visit.signal.aborted) return;
  if (!isFirst) main.querySelector("h1")?.focus({ preventScroll: true });
  if (!isFirst && !isBack) scrollTo(0, 0);
}

function put(title, node) {
  document.title = `${title} · extauth`;
  main.replaceChildren(node);
}

function find(path) {
  const segments = path.replace(/\/$/, "").split("/");
  for (const { path: pattern, load } of routes) {
    const wanted = pattern.split("/");
    const parameters = {};
    const fits =
      wanted.length === segments.length &&
      wanted.every((word, index) => {
        if (!word.startsWith(":")) return word === segments[index];
        parameters[word.slice(1)] = decodeURIComponent(segments[index]);
        return true;
      });
    if (fits) return { load, parameters };
  }
  return { load: () => import("./pages/not-found.js"), parameters: {} };
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!main || !link || !isPlain || link.target || link.hash || event.defaultPrevented) return;
  const target = new URL(link.href);
  if (target.origin !== location.origin || !/^\/dashboard(\/|$)/.test(target.pathname)) return;
  event.preventDefault();
  go(target.pathname + target.search);
});

window.addEventListener("popstate", () => {
  // Jumping within a page is told of here, too.
  if (main && shown !== location.pathname + location.search) show(location.pathname, { isBack: true });
});
