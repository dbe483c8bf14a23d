// Usage by group: who or what had how many requests, and what came of them.

import { h } from "../dom.js";
import { latency, number } from "../format.js";
import { totalOf } from "./codes.js";
import { shareBar } from "./meter.js";
import { table } from "./table.js";

/** Return a table of a report's series; `name(group)` shows a group. */
export function usageTable(caption, title, series, name) {
  const all = series.reduce((sum, { total }) => sum + totalOf(total), 0);
  const count =
    (outcome) =>
    ({ total }) =>
      total[outcome] ? number(total[outcome]) : h("span", { class: "soft zero" }, "0");
  return table(
    caption,
    [
      { title, cell: ({ group }) => name(group) },
      { title: "Share of these", cell: ({ total }) => shareBar(all ? totalOf(total) / all : 0, "") },
      { title: "Requests", right: true, cell: ({ total }) => number(totalOf(total)) },
      { title: "Allowed", right: true, cell: count("allowed") },
      { title: "Rate limited", right: true, cell: count("rate_limited") },
      { title: "Throttled", right: true, cell: count("throttled") },
      { title: "Refused", right: true, cell: count("refused") },
      { title: "Failed", right: true, cell: count("failed") },
      { title: "Check, p99", right: true, cell: ({ total }) => latency(total.latency_us?.p99) },
    ],
    series,
    { key: ({ group }) => group || "-" },
  );
}
