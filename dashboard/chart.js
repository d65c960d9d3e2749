// A line chart over the steps, by uPlot.

import uPlot from "/static/vendor/uPlot.esm.js";
import { el } from "/static/dom.js";

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export class Chart {
  // series: [{ name, label, colour }], format: a function from a value to text.
  constructor(title, series, format, { log = false } = {}) {
    this.series = series;
    this.holder = el("div", { class: "chart" });
    this.node = el("section", { class: "card", "aria-label": title }, el("h2", {}, title), this.holder);
    this.points = new Map();
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    this.plot = new uPlot({
      width: 400,
      height: 220,
      scales: { x: { time: false }, y: { distr: log ? 3 : 1 } },
      axes: [axis, { ...axis, size: 64, values: (_, values) => values.map((value) => (value === null ? "" : format(value))) }],
      series: [
        { label: "step" },
        ...series.map((line) => ({
          label: line.label,
          stroke: colour(line.colour),
          width: 2,
          spanGaps: true,
          points: { show: line.points ?? false, size: 5, fill: colour(line.colour) },
          value: (_, value) => (value === null || value === undefined ? "–" : format(value)),
        })),
      ],
      legend: { live: true },
      cursor: { points: { size: 7 } },
    }, [[], ...series.map(() => [])], this.holder);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.holder);
  }

  resize() {
    const width = this.holder.clientWidth;
    if (width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: 220 });
  }

  add(step, values) {
    const row = this.points.get(step) ?? {};
    let known = false;
    for (const { name } of this.series) {
      if (name in values) { row[name] = values[name]; known = true; }
    }
    if (known) this.points.set(step, row);
    return known;
  }

  draw() {
    const steps = [...this.points.keys()].sort((a, b) => a - b);
    const lines = this.series.map(({ name }) => steps.map((step) => this.points.get(step)[name] ?? null));
    this.plot.setData([steps, ...lines]);
  }

  close() {
    this.observer.disconnect();
    this.plot.destroy();
  }
}
