// Choosing how far back usage is looked at.

import { h } from "../dom.js";

const SPANS = [
  ["hour", "Last hour", 3600, "1m"],
  ["day", "Last day", 86_400, "1h"],
  ["week", "Last 7 days", 7 * 86_400, "1h"],
  ["quarter", "Last 90 days", 90 * 86_400, "1d"],
];

/** Return {node, range()}: a choice, and the from, to and step that it stands for. */
export function spanPicker(onChange, initial = "hour") {
  const node = h(
    "select",
    { class: "input span", "aria-label": "Time span", onchange: onChange },
    SPANS.map(([name, text]) => h("option", { value: name, selected: name === initial }, text)),
  );

  function range() {
    const [, , seconds, step] = SPANS.find(([name]) => name === node.value);
    const to = Date.now();
    return { from: text(to - seconds * 1000), to: text(to), step };
  }

  return { node, range };
}

const text = (ms) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
