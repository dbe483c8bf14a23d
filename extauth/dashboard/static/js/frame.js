// What stands around all pages once somebody is signed in: the ways to them, who one is, the theme.

import { ask, sinceLastUse } from "./api.js";
import { h, icon, update } from "./dom.js";
import { duration } from "./format.js";
import { button, toast } from "./parts/basics.js";
import { start } from "./router.js";
import { routesFor, waysFor } from "./routes.js";
import { holds, isOperator, session, signOut } from "./session.js";
import { themeButton } from "./theme-button.js";

const WARN_SECONDS = 60;
let watching = 0;

export const logo = () =>
  h("img", { src: new URL("../icon.svg", import.meta.url).href, alt: "", width: "28", height: "28" });

/** Show the frame, and in it the page of the current address. */
export function showFrame(place, { onLeft, isAfterSignIn }) {
  const main = h("main", { class: "main", id: "main", tabindex: "-1" });
  const ways = h("nav", { class: "ways", "aria-label": "Pages" });
  const menu = h(
    "button",
    {
      type: "button",
      class: "button quiet menu-button bare",
      "aria-label": "Menu",
      "aria-expanded": "false",
      "aria-controls": "side-body",
    },
    icon("menu"),
  );
  const side = h(
    "header",
    { class: "side" },
    h("a", { class: "brand", href: "/dashboard/" }, logo(), "extauth"),
    menu,
    h("div", { class: "side-body", id: "side-body" }, ways, who(onLeft)),
  );
  menu.onclick = () => open(!side.classList.contains("is-open"));

  function open(isOpen) {
    side.classList.toggle("is-open", isOpen);
    menu.setAttribute("aria-expanded", String(isOpen));
  }

  place.replaceChildren(
    h("a", { class: "skip", href: "#main" }, "Skip to the page"),
    h("div", { class: "frame" }, side, main),
    h("div", { id: "announcements", class: "unseen", role: "status" }),
    h("div", { id: "toasts", class: "toasts", role: "status" }),
  );
  watchIdling();
  const shown = start(main, routesFor(isOperator()), (path) => {
    open(false);
    update(ways, links(path));
  });
  if (isAfterSignIn) shown.then(() => main.querySelector("h1")?.focus());
}

function links(path) {
  const docs = session()?.docs;
  const pages = waysFor(isOperator(), holds).flatMap(({ title, pages }) => [
    title && h("h2", {}, title),
    h(
      "ul",
      {},
      pages.map((page) =>
        h(
          "li",
          {},
          h(
            "a",
            { href: page.href, "aria-current": isAt(path, page.href) && "page" },
            icon(page.icon),
            page.text,
          ),
        ),
      ),
    ),
  ]);
  const reading = h("a", { href: docs, target: "_blank", rel: "noopener" }, icon("book"), "Documentation");
  return [pages, docs && h("ul", {}, h("li", {}, reading))];
}

const bare = (path) => path.replace(/\/$/, "");
const isAt = (path, href) =>
  ["/dashboard", "/dashboard/me"].includes(bare(href))
    ? bare(path) === bare(href)
    : `${path}/`.startsWith(`${href}/`);

function who(onLeft) {
  const { user_id: user, name, role } = session();
  const out = button([icon("leave"), "Sign out"], {
    tone: "quiet tight",
    onclick: async () => {
      await signOut();
      onLeft();
    },
  });
  return h(
    "div",
    { class: "who" },
    h(
      "p",
      { class: "who-name" },
      h("strong", {}, user),
      h("span", { class: "small soft" }, role === "operator" ? "Operator" : `Key ${name}`),
    ),
    h("div", { class: "who-acts" }, out, themeButton()),
  );
}

// Whoever reads for long is warned before the session ends, and may go on.
function watchIdling() {
  clearInterval(watching);
  let leaveNote = null;
  watching = setInterval(() => {
    if (!session()) return clearInterval(watching);
    const left = session().idle_seconds - sinceLastUse();
    if (left > WARN_SECONDS) {
      leaveNote?.();
      leaveNote = null;
    } else if (left <= 0) {
      ask("session").catch(() => null);
    } else {
      leaveNote ??= toast(
        `Your session ends in ${duration(left)}.`,
        button("Stay signed in", { tone: "tight", onclick: stay }),
      );
    }
  }, 5000);
}

const stay = () => ask("me/keys?limit=1").catch(() => null);
