// The sign-in: with one of one's own keys, which goes to the server and is kept nowhere.

import { h, update } from "./dom.js";
import { duration } from "./format.js";
import { button } from "./parts/basics.js";
import { textField } from "./parts/fields.js";
import { signIn } from "./session.js";
import { logo } from "./frame.js";

/** Show the sign-in. `reason` says why it is needed again. */
export function showSignIn(place, { reason = null, onSignedIn }) {
  document.title = "Sign in · extauth";
  const wrong = h("p", { class: "wrong", role: "alert" });
  const go = button("Sign in", { tone: "primary", type: "submit" });
  const field = textField("API key", {
    name: "key",
    type: "password",
    required: true,
    spellcheck: "false",
    autocapitalize: "none",
    hint: "One of your own keys. Operators use a key with extauth scopes.",
  });
  const form = h("form", { class: "stack", onsubmit: submit, novalidate: true }, field, wrong, go);

  async function submit(event) {
    event.preventDefault();
    const input = field.querySelector("input");
    if (!input.value.trim()) return say("Type or paste a key.", input);
    go.disabled = true;
    try {
      await signIn(input.value.trim());
      input.value = "";
      onSignedIn();
    } catch (error) {
      if (error.status === undefined) throw error;
      say(reasonOf(error), input);
    } finally {
      go.disabled = false;
    }
  }

  function say(text, input) {
    update(wrong, text);
    input.setAttribute("aria-invalid", "true");
    input.focus();
    input.select();
  }

  const main = h(
    "main",
    {},
    h("p", { class: "brand" }, logo(), "extauth"),
    h(
      "section",
      { class: "card stack" },
      h("h1", { tabindex: "-1" }, "Sign in"),
      reason && h("p", { role: "status" }, reason),
      form,
    ),
  );
  place.replaceChildren(h("div", { class: "outside" }, main));
  form.querySelector("input").focus();
}

function reasonOf(error) {
  if (error.status === 429)
    return `Too many keys were wrong, or this address, key or user is banned. Try again in ${duration(error.retryAfter)}.`;
  if (error.status === 401) return "This key is not valid. It may be mistyped, expired, disabled or revoked.";
  return error.message;
}
