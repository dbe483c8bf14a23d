// Usage of a span that can be chosen: its chart, and below that who or what it was.

import { ask, withQuery } from "../api.js";
import { trafficChart } from "../charts.js";
import { empty } from "./basics.js";
import { loaded } from "./loaded.js";
import { spanPicker } from "./spans.js";
import { usageTable } from "./usage-table.js";

/**
 * Return {span, chart, total, groups}, of which `total` and `groups` can be reloaded. `path` and `filters` say
 * whose usage; `by()` what it is told apart by, `name(group)` shows a group, `summary(counts)` stands for all.
 */
export function usageParts(title, signal, { path, filters = {}, by, heading, name, summary = () => null }) {
  const chart = trafficChart(title, signal);
  const span = spanPicker(() => [total, groups].forEach((part) => part.reload()), "day");
  const usage = (group) => ask(withQuery(path, { ...filters, by: group, ...span.range() }), { signal });
  const total = loaded(
    signal,
    () => usage("none"),
    (told) => {
      chart.show(told);
      return told.series[0] ? summary(told.series[0].total) : null;
    },
  );
  const groups = loaded(
    signal,
    () => usage(by()),
    ({ series }) =>
      series.length
        ? usageTable(`${title}, told apart`, heading(), series, name)
        : empty("No requests in this time", "Whoever sends requests is listed here, the busiest first."),
  );
  return { span: span.node, chart: chart.node, total, groups };
}
