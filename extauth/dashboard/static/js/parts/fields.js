// Fields of forms, each with its label, its hint and what the server said was wrong with it.

import { h, uniqueId } from "../dom.js";

/** Return a text field. */
export function textField(label, { name, value = "", hint = null, type = "text", ...others } = {}) {
  const input = h("input", {
    class: "input",
    name,
    type,
    value,
    id: uniqueId("field"),
    autocomplete: "off",
    ...others,
  });
  return field(label, input, hint);
}

/** Return a choice of one; options are [value, text]. */
export function selectField(label, options, { name, value = "", hint = null, onchange } = {}) {
  const select = h(
    "select",
    { class: "input", name, id: uniqueId("field"), onchange },
    options.map(([choice, text]) => h("option", { value: choice, selected: choice === value }, text)),
  );
  return field(label, select, hint);
}

function field(label, input, hint) {
  const about = hint && h("p", { class: "hint", id: uniqueId("hint") }, hint);
  if (about) input.setAttribute("aria-describedby", about.id);
  return h(
    "div",
    { class: "field", dataset: { field: input.name } },
    h("label", { for: input.id }, label),
    input,
    about,
  );
}

/** Return boxes to tick, or one of several; options are [value, text, hint, chosen]. */
export function choices(legend, options, { name, type = "checkbox", onchange } = {}) {
  return h(
    "fieldset",
    { class: "field", dataset: { field: name } },
    h("legend", {}, legend),
    options.map(([value, text, hint, chosen]) =>
      h(
        "label",
        { class: "choice" },
        h("input", { type, name, value, checked: chosen, onchange }),
        h("span", {}, text, hint && h("span", {}, hint)),
      ),
    ),
  );
}

/** Show what is wrong beside the fields it is about; return what belongs to none. */
export function showMistakes(form, problem) {
  for (const old of form.querySelectorAll(".wrong")) old.remove();
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  const others = [];
  for (const { field: pointer, detail } of problem.errors) {
    const place = form.querySelector(`[data-field="${CSS.escape(pointer.split("/")[1] ?? pointer)}"]`);
    if (!place) {
      others.push(detail);
      continue;
    }
    const input = place.querySelector("input, select, textarea");
    place.append(h("p", { class: "wrong" }, detail));
    input?.setAttribute("aria-invalid", "true");
  }
  form.querySelector("[aria-invalid]")?.focus();
  return problem.errors.length ? others.join(" ") : problem.message;
}
