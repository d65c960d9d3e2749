// The charts of a run, or of several over each other, and the tools over them.

import { button, el, put, putIfChanged } from "/static/dom.js";
import { Chart, FORMATS } from "/static/chart.js";
import { seconds } from "/static/format.js";

const { loss, tick, bytes, count, percent, percentTick, short } = FORMATS;

// name, and what it is called where several share a chart. Every metric that is not listed here, one of a
// later version for example, gets a chart of its own.
const CHARTS = [
  { title: "Loss", metrics: [["train/loss", "training"], ["validation/loss", "validation"]], format: loss, ticks: tick, log: true, note: "Nats per token" },
  { title: "Perplexity", metrics: [["validation/perplexity", "validation"]], format: short, log: true, note: "exp of the validation loss" },
  { title: "Learning rate", metrics: [["train/learning_rate", "learning rate"]], format: short, exact: true, log: true },
  { title: "Gradient norm", metrics: [["train/grad_norm", "before clipping"]], format: short, log: true },
  { title: "Throughput", metrics: [["throughput/tokens_per_second", "tokens/s"], ["throughput/words_per_second", "words/s"]], format: count, calm: 0.35 },
  { title: "Model FLOPs utilisation", metrics: [["throughput/mfu", "of the peak"]], format: percent, ticks: percentTick, calm: 0.35, note: "Share of the device's measured matrix peak" },
  { title: "Memory", metrics: [["memory/host_rss_bytes", "host"], ["memory/host_peak_bytes", "host, peak"], ["memory/device_allocated_bytes", "device"], ["memory/device_reserved_bytes", "reserved"], ["memory/device_peak_bytes", "device, peak"]], format: bytes, exact: true },
  { title: "Device", metrics: [["device/utilization", "busy"]], format: percent, ticks: percentTick, calm: 0.2 },
  { title: "Bits per byte", metrics: [["validation/bits_per_byte", "validation"]], format: loss, ticks: tick, log: true, note: "Comparable between vocabularies" },
];
const AXES = [["step", "Steps"], ["words_seen", "Words"], ["time", "Time"]];
const SAVED = "chart-view";

export class Charts {
  // runs: [{ id, label, series }]; onRange is told which steps are looked at, to ask for finer points.
  constructor({ onRange } = {}) {
    this.onRange = onRange;
    const saved = JSON.parse(localStorage.getItem(SAVED) ?? "{}");
    this.view = { axis: "step", smoothing: 0.4, log: false, ...saved, zoom: null, isLoading: true };
    this.charts = new Map();
    this.grid = el("div", { class: "grid charts" });
    this.reset = button("Reset zoom", () => this.zoom(null), { hidden: true });
    this.axes = el("div", { class: "choices", role: "group", "aria-label": "Horizontal axis" });
    const smoothing = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: this.view.smoothing, on: { input: () => this.set({ smoothing: Number(smoothing.value) }) } });
    const log = el("input", { type: "checkbox", checked: this.view.log, on: { change: () => this.set({ log: log.checked }) } });
    this.tools = el("div", { class: "tools" }, this.axes, el("label", { class: "inline" }, "Smoothing", smoothing),
      el("label", { class: "inline" }, log, "Log scale"), this.reset, el("span", { class: "soft small hint-zoom" }, "Drag over a chart to zoom, or go to it by Tab and press + − ← → Esc."));
    this.node = el("div", {}, this.tools, this.grid);
    this.runs = [];
    this.onTheme = () => this.draw();
    addEventListener("themechange", this.onTheme);
    this.drawAxes();
  }

  drawAxes() {
    put(this.axes, AXES.map(([axis, label]) => button(label, () => { this.set({ axis, zoom: null }); this.drawAxes(); }, { "aria-pressed": String(this.view.axis === axis) })));
  }

  set(change) {
    Object.assign(this.view, change);
    const { axis, smoothing, log } = this.view;
    localStorage.setItem(SAVED, JSON.stringify({ axis, smoothing, log }));
    this.draw();
  }

  loaded() {
    this.view.isLoading = false;
    this.draw();
  }

  zoom(range) {
    this.view.zoom = range;
    this.draw();
    if (range && this.view.axis === "step") this.onRange?.(range.map(Math.round));
  }

  // Draws at the next frame, however often it is asked.
  draw(runs = this.runs) {
    this.runs = runs;
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => {
      this.isAsked = false;
      if (!this.isClosed) this.drawNow();
    });
  }

  drawNow() {
    this.reset.hidden = !this.view.zoom;
    const kinds = this.kinds();
    putIfChanged(this.grid, kinds.map(({ title }) => title), () => kinds.map((kind) => this.chart(kind).node));
    for (const kind of kinds) {
      const lines = this.runs.flatMap((run, number) => kind.metrics
        .filter(([name]) => run.series.values.has(name))
        .slice(0, this.runs.length > 1 ? 1 : undefined)
        .map(([name, label], index) => ({
          series: run.series, name, label: this.runs.length > 1 ? run.label : label,
          colour: this.runs.length > 1 ? number + 1 : index + 1,
          points: kind.exact ? false : /^(validation|evaluation)\//.test(name),
        })));
      const view = kind.exact ? { ...this.view, smoothing: 0 } : this.view;
      this.chart(kind).draw(lines, kind.axis ? { ...view, axis: kind.axis, zoom: null } : view, { onZoom: (range) => { if (!kind.axis) this.zoom(range); } });
    }
  }

  chart(kind) {
    if (!this.charts.has(kind.title)) this.charts.set(kind.title, new Chart(kind.title, kind));
    return this.charts.get(kind.title);
  }

  // The charts that there is something for; over several runs each metric has its own.
  kinds() {
    const names = new Set(this.runs.flatMap(({ series }) => series.names));
    const listed = new Set(CHARTS.flatMap(({ metrics }) => metrics.map(([name]) => name)));
    const always = this.runs.length === 1 ? 3 : 1; // a row of places while there is nothing yet
    let known = CHARTS.filter(({ metrics }, index) => index < always || metrics.some(([name]) => names.has(name)));
    if (this.runs.length > 1) {
      known = known.flatMap((kind) => kind.metrics.filter(([name], index) => names.has(name) || index === 0)
        .map((metric) => ({ ...kind, metrics: [metric], title: kind.metrics.length > 1 ? `${kind.title}: ${metric[1]}` : kind.title })));
    }
    const scores = [...names].filter((name) => name.startsWith("evaluation/")).sort();
    const others = [...names].filter((name) => !listed.has(name) && !name.startsWith("evaluation/")).sort();
    const chart = (name) => ({ title: titleOf(name), metrics: [[name, "value"]], format: unitOf(name) });
    return [
      ...known,
      ...(this.runs.length > 1 ? scores.map((name) => ({ ...chart(name), format: (value) => percent(value, 1), ticks: percentTick, axis: "words_seen" }))
        : scores.length ? [{ title: "Evaluation scores over words seen", metrics: scores.map((name) => [name, name.slice(11)]), format: (value) => percent(value, 1), ticks: percentTick, axis: "words_seen" }] : []),
      ...others.map(chart),
    ];
  }

  close() {
    this.isClosed = true;
    removeEventListener("themechange", this.onTheme);
    for (const chart of this.charts.values()) chart.close();
  }
}

function titleOf(name) {
  const text = name.replace("/", ": ").replace(/_bytes$/, "").replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
}

function unitOf(name) {
  if (name.endsWith("_bytes")) return bytes;
  if (name.endsWith("_seconds")) return seconds;
  return short;
}
