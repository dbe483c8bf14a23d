// The small things that all pages are put together from.

import { h, icon, update } from "../dom.js";
import { duration, moment, relative } from "../format.js";

/** Return a page's heading, with a way back above it and what can be done beside it. */
export function pageHead(title, { about = null, back = null, acts = [] } = {}) {
  return h(
    "div",
    { class: "head" },
    h(
      "div",
      {},
      back && h("a", { class: "crumb", href: back.href }, `← ${back.text}`),
      h("h1", { tabindex: "-1" }, title),
      about && h("p", {}, about),
    ),
    h("div", { class: "acts" }, acts),
  );
}

/** Return a titled box. `aside` stands opposite the title. */
export function card(title, { about = null, aside = null, key = null } = {}, ...children) {
  return h(
    "section",
    { class: "card", dataset: key ? { key } : {} },
    h("div", { class: "card-head" }, h("div", {}, h("h2", {}, title), about && h("p", {}, about)), aside),
    ...children,
  );
}

export const badge = (text, tone = "") => h("span", { class: `badge ${tone}` }, text);

export function button(text, { tone = "", onclick, name = null, disabled = false, type = "button" } = {}) {
  const act = onclick && ((event) => orSay(onclick(event)));
  return h("button", { type, class: `button ${tone}`, onclick: act, "aria-label": name, disabled }, text);
}

// A refusal that nobody else shows is told of; that the session is over, the sign-in says.
const orSay = (done) =>
  Promise.resolve(done).catch((error) => {
    if (error.status === undefined) throw error;
    if (error.status !== 401) toast(error.message);
  });

/** Return a number that is large enough to be read across a room. */
export function tile(label, value, { note = null, tone = "" } = {}) {
  return h(
    "dl",
    { class: `card tile ${tone}` },
    h("dt", {}, label),
    h("dd", {}, value),
    note && h("dd", { class: "note" }, note),
  );
}

export const facts = (rows) =>
  h(
    "dl",
    { class: "facts" },
    rows.filter(Boolean).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );

/** Return a time as how long ago it is, the exact one beside it on demand. */
export const ago = (text, never = "never") =>
  text
    ? h("time", { datetime: text, title: moment(text) }, relative(text))
    : h("span", { class: "soft" }, never);

export const tags = (words, none = "none") =>
  words.length
    ? h(
        "span",
        { class: "tags" },
        words.map((word) => h("code", {}, word)),
      )
    : h("span", { class: "soft" }, none);

/** Return what stands where there is nothing: what that means, and what to do next. */
export function empty(title, text, command = null) {
  return h("div", { class: "empty" }, h("strong", {}, title), text, command && commandLine(command));
}

/** Return a command with a button that copies it. */
function commandLine(text) {
  return h("div", { class: "command" }, h("code", {}, text), copyButton(text, "Copy the command"));
}

function copyButton(text, name, onCopied = () => {}) {
  const face = button("Copy", { tone: "tight", name });
  face.onclick = async () => {
    await copy(text);
    update(face, "Copied");
    face.removeAttribute("aria-label");
    onCopied();
  };
  return face;
}

/** Put a text on the clipboard. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch {
    // Browsers keep the clipboard from pages that came without TLS, unless a selection is copied.
  }
  const field = h("textarea", { class: "unseen", value: text, "aria-hidden": "true" });
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/** Return a time span that counts down by itself. A screen reader is told where it began. */
export function countdown(seconds) {
  const until = Date.now() + seconds * 1000;
  const looks = { class: "number", title: moment(until), dataset: { until: String(until) } };
  return h("span", looks, duration(Math.ceil(seconds)));
}

/** Let all countdowns of the page go on. */
export function tick(now = Date.now()) {
  for (const place of document.querySelectorAll("[data-until]")) {
    place.textContent = duration(Math.ceil((Number(place.dataset.until) - now) / 1000));
  }
}

const TONES = { good: "good", warn: "warn", bad: "bad" };

/** Return a message that stands out: what is the case, and what follows. */
export function banner(tone, title, ...children) {
  return h(
    "section",
    { class: `banner ${TONES[tone]}` },
    icon(tone),
    h("div", {}, h("h2", {}, title), ...children),
  );
}

/** Say something to screen readers without moving anything. */
export function announce(text) {
  const place = document.getElementById("announcements");
  if (place && place.textContent !== text) place.textContent = text;
}

/** Show for a while that something was done. */
export function toast(text, action = null) {
  const place = document.getElementById("toasts");
  const leave = () => note.remove();
  const note = h(
    "div",
    { class: "toast" },
    h("span", {}, text),
    action,
    h(
      "button",
      { type: "button", class: "button quiet tight bare", "aria-label": "Close", onclick: leave },
      icon("close"),
    ),
  );
  place.append(note);
  if (!action) setTimeout(leave, 6000);
  return leave;
}
