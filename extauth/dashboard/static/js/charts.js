// Usage over time, stacked by outcome: a chart for eyes, a sentence and a table for everybody.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { h, update } from "./dom.js";
import { moment, number, plural, short } from "./format.js";
import { empty } from "./parts/basics.js";
import { OUTCOMES, totalOf } from "./parts/codes.js";
import { scrolled, table } from "./parts/table.js";

const HEIGHT = 220;
const NOTHING = "As soon as a proxy asks about a request, it is counted here, within a second or two.";
const STEP_SECONDS = { "1m": 60, "1h": 3600, "1d": 86400 };

/** Return a chart of the first series of a usage report: {node, show(usage)}. `signal` ends it. */
export function trafficChart(title, signal) {
  return new TrafficChart(title, signal);
}

class TrafficChart {
  constructor(title, signal) {
    this.title = title;
    this.picture = h("div", { class: "chart", role: "img" });
    this.legend = h("ul", { class: "legend" });
    this.rows = h("div", {});
    const label = h("summary", {}, "Show the numbers");
    this.numbers = h("details", { class: "numbers", ontoggle: () => this.drawTable() }, label, this.rows);
    this.nothing = h("div", {});
    this.node = h("figure", {}, this.picture, this.nothing, this.legend, this.numbers);
    this.plot = null;
    this.series = null;
    this.step = "1m";
    this.watch(signal);
  }

  /** Show a report; a null one shows nothing. */
  show(usage) {
    const series = usage?.series[0];
    this.series = series && totalOf(series.total) ? series : null;
    this.step = usage?.step;
    for (const part of [this.picture, this.legend, this.numbers]) part.hidden = !this.series;
    update(this.nothing, !this.series && empty("No requests in this time", NOTHING));
    if (this.series) this.draw(this.series);
  }

  draw({ total, points }) {
    this.picture.setAttribute("aria-label", summary(this.title, this.series));
    const entries = OUTCOMES.filter(({ name }) => total[name]).map((outcome) => entry(outcome, total));
    update(this.legend, entries);
    this.drawTable();
    const data = stacked(points);
    if (this.plot) this.plot.setData(data);
    else this.plot = new uPlot(optionsOf(this), data, this.picture);
  }

  drawTable() {
    if (!this.numbers.open || !this.series) return;
    update(this.rows, scrolled(`${this.title}, in numbers`, pointTable(this.title, this.series)));
  }

  watch(signal) {
    const sizes = new ResizeObserver(() =>
      this.plot?.setSize({ width: this.picture.clientWidth, height: HEIGHT }),
    );
    sizes.observe(this.picture);
    signal.addEventListener("abort", () => {
      sizes.disconnect();
      this.plot?.destroy();
    });
    // Colours are drawn, not styled.
    const redraw = () => {
      this.plot?.destroy();
      this.plot = null;
      if (this.series) this.draw(this.series);
    };
    document.addEventListener("themechange", redraw, { signal });
  }
}

function entry({ name, title }, total) {
  return h(
    "li",
    { dataset: { key: name } },
    swatch(name),
    title,
    h("strong", { class: "number" }, short(total[name])),
  );
}

function summary(title, { total, points }) {
  const peak = points.reduce((most, point) => (totalOf(point) > totalOf(most) ? point : most), points[0]);
  const parts = OUTCOMES.filter(({ name }) => total[name]).map(
    ({ name, title: word }) => `${number(total[name])} ${word.toLowerCase()}`,
  );
  const most = `most at ${moment(peak.at)} with ${number(totalOf(peak))}`;
  return `${title}: ${plural(totalOf(total), "request")}, ${parts.join(", ")}; ${most}.`;
}

function pointTable(title, { points }) {
  const columns = [
    { title: "From", cell: (point) => moment(point.at) },
    ...OUTCOMES.map(({ name, title: word }) => ({
      title: word,
      right: true,
      cell: (point) => number(point[name]),
    })),
  ];
  return table(`${title}, without times in which nothing came`, columns, points.filter(totalOf).reverse(), {
    folds: false,
  });
}

// Each outcome's bars reach from nought to the top of those below and itself, the highest drawn first.
function stacked(points) {
  const tops = OUTCOMES.map((_, index) =>
    points.map((point) => OUTCOMES.slice(0, index + 1).reduce((sum, { name }) => sum + point[name], 0)),
  );
  return [points.map((point) => Date.parse(point.at) / 1000), ...tops.reverse()];
}

function optionsOf(chart) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name.replace("_", "-")}`).trim();
  const bars = uPlot.paths.bars({ size: [0.78, 48], align: 1, radius: 0.08 });
  return {
    width: chart.picture.clientWidth || 600,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      // The last bar needs the length of its step.
      x: { range: (_plot, least, most) => [least, most + (STEP_SECONDS[chart.step] ?? 60)] },
      y: { range: (_plot, _least, most) => [0, Math.max(5, most * 1.08)] },
    },
    axes: axesOf(colour),
    series: [{}, ...OUTCOMES.toReversed().map(({ name }) => barsOf(colour(name), bars))],
    hooks: { setCursor: [tip(chart)] },
  };
}

const barsOf = (colour, paths) => ({
  fill: colour,
  stroke: colour,
  width: 0,
  paths,
  points: { show: false },
});

function axesOf(colour) {
  const axis = {
    stroke: colour("text-soft"),
    font: "12px system-ui, sans-serif",
    gap: 6,
    ticks: { show: false },
  };
  return [
    { ...axis, space: 70, size: 28, grid: { show: false }, values: times },
    {
      ...axis,
      size: 48,
      grid: { stroke: colour("line"), width: 1 },
      // Requests are whole.
      incrs: [1, 2, 5]
        .flatMap((digit) => [...Array(9).keys()].map((power) => digit * 10 ** power))
        .sort((one, other) => one - other),
      values: (_plot, marks) => marks.map(short),
    },
  ];
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hour12: false });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

function times(_plot, marks) {
  const isMidnight = (mark) => mark.getHours() === 0 && mark.getMinutes() === 0;
  return marks
    .map((seconds) => new Date(seconds * 1000))
    .map((mark) => (isMidnight(mark) ? DATE : CLOCK).format(mark));
}

// What stands beside the bar that the pointer is at.
function tip(chart) {
  const box = h("div", { class: "tip", hidden: true });
  return (plot) => {
    const point = chart.series?.points[plot.cursor.idx ?? -1];
    box.hidden = !point || plot.cursor.left < 0;
    if (box.hidden) return;
    chart.picture.append(box);
    const counts = OUTCOMES.filter(({ name }) => point[name]).flatMap(({ name, title }) => [
      swatch(name),
      h("dt", {}, title),
      h("dd", {}, number(point[name])),
    ]);
    update(box, h("strong", {}, moment(point.at)), h("dl", {}, counts));
    const left = plot.bbox.left / devicePixelRatio + plot.cursor.left;
    const isRight = left > chart.picture.clientWidth / 2;
    box.style.left = isRight ? "" : `${left + 12}px`;
    box.style.right = isRight ? `${chart.picture.clientWidth - left + 12}px` : "";
    box.style.top = "8px";
  };
}

const swatch = (outcome) =>
  h("span", { class: "swatch", style: { "--colour": `var(--${outcome.replace("_", "-")})` } });
