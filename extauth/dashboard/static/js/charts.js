// Usage over time, stacked by outcome: a chart for eyes, a sentence and a table for everybody.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { h, update } from "./dom.js";
import { moment, number, plural, short } from "./format.js";
import { empty } from "./parts/basics.js";
import { OUTCOMES, totalOf } from "./parts/codes.js";
import { scrolled, table } from "./parts/table.js";

const HEIGHT = 220;
const STEP_SECONDS = { "1m": 60, "1h": 3600, "1d": 86400 };

/** Return a chart of the first series of a usage report: {node, show(usage)}. `signal` ends it. */
export function trafficChart(title, signal) {
  const picture = h("div", { class: "chart", role: "img" });
  const legend = h("ul", { class: "legend" });
  const numbers = h("details", { class: "numbers", ontoggle: () => drawTable() }, h("summary", {}, "Show the numbers"), h("div", {}));
  const nothing = h("div", {});
  const node = h("figure", {}, picture, nothing, legend, numbers);
  let plot = null;
  let usage = null;

  function show(told) {
    usage = told;
    const series = told?.series[0];
    const isEmpty = !series || !totalOf(series.total);
    for (const part of [picture, legend, numbers]) part.hidden = isEmpty;
    update(nothing, isEmpty && empty("No requests in this time", "As soon as a proxy asks about a request, it is counted here, within a second or two."));
    if (isEmpty) return;
    picture.setAttribute("aria-label", summary(title, series));
    update(legend, OUTCOMES.filter(({ name }) => series.total[name]).map((outcome) => entry(outcome, series.total)));
    drawTable();
    drawPlot(series);
  }

  function drawPlot(series) {
    const data = stacked(series.points);
    if (plot) plot.setData(data);
    else plot = new uPlot(optionsOf(picture, () => usage), data, picture);
  }

  function drawTable() {
    if (numbers.open && usage?.series[0]) update(numbers.lastChild, scrolled(`${title}, in numbers`, pointTable(title, usage.series[0])));
  }

  function again() {
    plot?.destroy();
    plot = null;
    if (usage) show(usage);
  }

  const sizes = new ResizeObserver(() => plot && plot.setSize({ width: picture.clientWidth, height: HEIGHT }));
  sizes.observe(picture);
  document.addEventListener("themechange", again, { signal });
  signal.addEventListener("abort", () => {
    sizes.disconnect();
    plot?.destroy();
  });
  return { node, show };
}

function entry({ name, title }, total) {
  return h("li", { dataset: { key: name } },
    h("span", { class: "swatch", style: { "--colour": `var(--${name.replace("_", "-")})` } }), title, h("strong", { class: "number" }, short(total[name])));
}

function summary(title, { total, points }) {
  const peak = points.reduce((most, point) => (totalOf(point) > totalOf(most) ? point : most), points[0]);
  const parts = OUTCOMES.filter(({ name }) => total[name]).map(({ name, title: word }) => `${number(total[name])} ${word.toLowerCase()}`);
  return `${title}: ${plural(totalOf(total), "request")}, ${parts.join(", ")}; most at ${moment(peak.at)} with ${number(totalOf(peak))}.`;
}

function pointTable(title, { points }) {
  const columns = [
    { title: "From", cell: (point) => moment(point.at) },
    ...OUTCOMES.map(({ name, title: word }) => ({ title: word, right: true, cell: (point) => number(point[name]) })),
  ];
  return table(`${title}, without times in which nothing came`, columns, points.filter(totalOf).reverse(), { folds: false });
}

// Each outcome's bars reach from nought to the top of those below and itself, the highest drawn first.
function stacked(points) {
  const tops = OUTCOMES.map((_, index) =>
    points.map((point) => OUTCOMES.slice(0, index + 1).reduce((sum, { name }) => sum + point[name], 0)));
  return [points.map((point) => Date.parse(point.at) / 1000), ...tops.reverse()];
}

function optionsOf(place, current) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const bars = uPlot.paths.bars({ size: [0.78, 48], align: 1, radius: 0.08 });
  const axis = { stroke: colour("text-soft"), font: "12px system-ui, sans-serif", grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
  return {
    width: place.clientWidth || 600,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      x: { range: (_plot, least, most) => [least, most + (STEP_SECONDS[current()?.step] ?? 60)] },
      y: { range: (_plot, _least, most) => [0, Math.max(5, most * 1.08)] },
    },
    axes: [
      { ...axis, space: 70, size: 28, gap: 6, grid: { show: false }, values: times },
      { ...axis, size: 48, gap: 6, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8], values: (_plot, marks) => marks.map(short) },
    ],
    series: [{}, ...OUTCOMES.toReversed().map(({ name }) => ({
      fill: colour(name.replace("_", "-")), stroke: colour(name.replace("_", "-")), width: 0, paths: bars, points: { show: false },
    }))],
    hooks: { setCursor: [tip(place, current)] },
  };
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hour12: false });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

function times(_plot, marks) {
  const isMidnight = (mark) => mark.getHours() === 0 && mark.getMinutes() === 0;
  return marks.map((seconds) => new Date(seconds * 1000)).map((mark) => (isMidnight(mark) ? DATE : CLOCK).format(mark));
}

function tip(place, current) {
  const box = h("div", { class: "tip", hidden: true });
  return (plot) => {
    const point = current()?.series[0]?.points[plot.cursor.idx ?? -1];
    box.hidden = !point || plot.cursor.left < 0;
    if (box.hidden) return;
    place.append(box);
    update(box, h("strong", {}, moment(point.at)), h("dl", {}, OUTCOMES.filter(({ name }) => point[name]).flatMap(({ name, title }) => [
      h("span", { class: "swatch", style: { "--colour": `var(--${name.replace("_", "-")})` } }), h("dt", {}, title), h("dd", {}, number(point[name]))])));
    const left = plot.bbox.left / devicePixelRatio + plot.cursor.left;
    const isRight = left > place.clientWidth / 2;
    box.style.left = isRight ? "" : `${left + 12}px`;
    box.style.right = isRight ? `${place.clientWidth - left + 12}px` : "";
    box.style.top = "8px";
  };
}
