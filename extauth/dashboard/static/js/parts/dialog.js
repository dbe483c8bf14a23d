// Dialogs: the browser's own, which keep the keyboard inside and give the focus back.

import { h, uniqueId, update } from "../dom.js";
import { button, copy as copyText } from "./basics.js";
import { showMistakes } from "./fields.js";

/**
 * Ask with a form. `act(form data)` does what is asked for; while it fails the dialog stays, with the reason.
 * Resolves with what `act` returned, or null where it was left.
 */
export function askInDialog({ title, content = [], confirm, tone = "primary", act }) {
  return new Promise((resolve) => {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const heading = h("h2", { id: uniqueId("title") }, title);
    const go = button(confirm, { tone, type: "submit" });
    const leave = button("Cancel", { onclick: () => dialog.close() });
    const form = h(
      "form",
      { class: "field", method: "dialog", onsubmit: submit, novalidate: true },
      heading,
      ...content,
      wrong,
      h("div", { class: "acts" }, leave, go),
    );
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": heading.id }, form);
    let result = null;

    async function submit(event) {
      event.preventDefault();
      go.disabled = true;
      try {
        result = (await act(new FormData(form))) ?? true;
        dialog.close();
      } catch (error) {
        if (!error.errors) throw error;
        update(wrong, showMistakes(form, error));
      } finally {
        go.disabled = false;
      }
    }

    open(dialog, () => resolve(result));
  });
}

/** Show a new key, this once. It is not left without a copy unless that is said twice. */
export function showSecret({ title, secret, about }) {
  const warning = h("p", { class: "wrong", role: "alert" });
  const copy = button("Copy the key", { tone: "primary", onclick: copyIt });
  const done = button("Done", { onclick: leave });
  const dialog = secretDialog({ title, secret, about }, warning, [done, copy]);
  let mayLeave = false;

  async function copyIt() {
    await copyText(secret);
    mayLeave = true;
    update(copy, "Copied");
    update(warning);
  }

  function leave() {
    if (mayLeave) return dialog.close();
    mayLeave = true;
    update(warning, "You haven't copied the key. Without a copy it is lost.");
    update(done, "Close without a copy");
  }

  dialog.addEventListener("copy", () => (mayLeave = true));
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    leave();
  });
  return new Promise((resolve) => {
    open(dialog, () => {
      // Nothing of it stays in the page.
      update(dialog);
      resolve();
    });
    copy.focus();
  });
}

function secretDialog({ title, secret, about }, warning, acts) {
  const heading = h("h2", { id: uniqueId("title") }, title);
  const once = h("strong", {}, "It is shown this once and kept nowhere, so it can't be shown again.");
  const form = h(
    "form",
    { method: "dialog", class: "field", onsubmit: (event) => event.preventDefault() },
    heading,
    h("p", {}, about, " ", once),
    h("div", { class: "secret" }, secret),
    warning,
    h("div", { class: "acts" }, acts),
  );
  return h("dialog", { class: "dialog", "aria-labelledby": heading.id }, form);
}

function open(dialog, onClosed) {
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClosed();
  });
  document.body.append(dialog);
  dialog.showModal();
}
