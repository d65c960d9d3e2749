// A chart of one quantity, of one run or of several, by uPlot: faint points, a smoothed line over
// them, one cursor over all charts of a page, a drag zooms into all of them.

import uPlot from "/static/vendor/uPlot.esm.js";
import { announce, el, put } from "/static/dom.js";
import { bytes, count, percent, seconds, short } from "/static/format.js";
import { smoothed, weightFor } from "/static/series.js";

const HEIGHT = 226;
const COLOURS = 8;
const FAINT = 0.28;
const LEAST_AXIS_WIDTH = 34;
const FONT = "12px Inter, system-ui, sans-serif";
const X_LABELS = { step: "steps", words_seen: "words seen", time: "time since the start" };
const KEY_ZOOM = 0.6;
const KEY_MOVES = 40; // so many presses of an arrow cross a chart
const NARROWEST = 1e-4; // of the whole: what the keys zoom into
// Bytes have round ticks, none closer than the MiB that a label shows.
const POWERS_OF_TWO = Array.from({ length: 30 }, (_, power) => 2 ** (power + 20));
const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat(); // there is no half step

export const FORMATS = {
  loss: (value) => (Math.abs(value) < 100 ? value.toFixed(3) : count(value)),
  tick: (value) => String(Number(value.toPrecision(4))),
  // As many places as tell the numbers of an axis apart.
  percentTick: (value, step) => percent(value, step > 0 ? Math.min(3, Math.max(0, Math.ceil(-Math.log10(step * 100) - 1e-9))) : 0),
  bytes, count, percent, short,
};

const probe = el("i", { hidden: true });

// Canvas knows no light-dark(): an element resolves it.
function colour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

function faint(text) {
  return text.replace(/^rgb\((.*)\)$/, `rgba($1, ${FAINT})`);
}

export class Chart {
  // lines: [{ series, name, label, colour (1 to 8), points, smooth }]; view: what the tools of the page say.
  constructor(title, { format, ticks = format, calm = 0, log = false, note }) {
    Object.assign(this, { title, format, ticks, calm, mayLog: log, lines: [] });
    this.holder = el("div", { class: "chart", on: { keydown: (press) => this.key(press), blur: () => this.plot?.setCursor({ left: -10, top: -10 }) } });
    this.legend = el("ul", { class: "legend" });
    this.node = el("section", { class: "card chart-card", "aria-label": title },
      el("div", { class: "card-head" }, el("h2", { title: note }, title), this.legend), this.holder);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.holder);
    this.plot = null;
  }

  get isEmpty() {
    return this.lines.every((line) => !(line.series.values.get(line.name)?.size));
  }

  resize() {
    const width = this.holder.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  // Shows these lines; only another set of lines, axis or theme makes a new plot.
  draw(lines, view, { onZoom } = {}) {
    this.lines = lines;
    this.onZoom = onZoom;
    this.axis = view.axis;
    const log = view.log && this.mayLog;
    const shape = JSON.stringify([lines.map((line) => [line.label, line.colour]), view.axis, log, colour("--ink")]);
    if (this.isEmpty) {
      this.clear();
      this.holder.classList.add("none");
      this.holder.textContent = view.isLoading ? "Loading…" : "Nothing measured yet";
      return;
    }
    const data = this.data(lines, view, log);
    if (shape !== this.shape || !this.plot) {
      this.clear();
      this.shape = shape;
      put(this.holder);
      this.plot = new uPlot(this.options(lines, view.axis, log), data, this.holder);
    } else {
      this.plot.setData(data, false);
    }
    this.holder.dataset.points = data[0].length;
    const [low, high] = view.zoom ?? this.ends(data[0]);
    this.isSetting = true;
    this.plot.batch(() => {
      this.plot.setScale("x", { min: low, max: high > low ? high : low + 1 });
    });
    this.isSetting = false;
    this.tell();
  }

  clear() {
    this.plot?.destroy();
    this.plot = null;
    this.shape = null;
    this.holder.classList.remove("none");
    for (const name of ["tabindex", "role", "aria-roledescription", "aria-label"]) this.holder.removeAttribute(name);
    put(this.legend);
  }

  ends(x) {
    return x.length ? [x[0], x.at(-1)] : [0, 1];
  }

  // Two curves a line, the points and the smoothed one, over the union of all x.
  data(lines, view, log) {
    const tables = [];
    this.smooth = [];
    for (const line of lines) {
      const { x, y: raw } = line.series.line(line.name, view.axis);
      const y = log ? raw.map((value) => (value > 0 ? value : null)) : raw;
      const strength = line.points ? 0 : Math.max(view.smoothing, this.calm);
      const mean = smoothed(y, weightFor(strength, y.length));
      this.smooth.push(strength > 0);
      tables.push([x, strength > 0 ? y : y.map(() => null), mean]);
    }
    return uPlot.join(tables);
  }

  options(lines, axis, log) {
    const grid = { stroke: colour("--line"), width: 1 };
    const common = { stroke: colour("--soft"), grid, ticks: { show: false }, font: FONT };
    const xLabel = axis === "time" ? (value) => seconds(value) : count;
    return {
      width: this.holder.clientWidth || 400,
      height: HEIGHT,
      padding: [8, 14, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: `run by ${axis}` }, points: { size: 7 }, drag: { x: true, y: false, setScale: false } },
      scales: { x: { time: false }, y: { distr: log ? 3 : 1, range: log ? undefined : (_, low, high) => range(low, high) } },
      axes: [
        { ...common, ...(axis === "time" ? {} : { incrs: WHOLE }), values: (_, ticks) => ticks.map(xLabel), size: 26, space: 70, label: X_LABELS[axis], labelFont: FONT, labelSize: 18, labelGap: 0 },
        { ...common, size: axisWidth, ...(this.format === bytes ? { incrs: POWERS_OF_TWO } : {}), values: (_, ticks, __, ___, step) => ticks.map((tick) => (tick === null ? "" : this.ticks(tick, step))) },
      ],
      series: [{}, ...lines.flatMap((line) => {
        const stroke = colour(`--line-${((line.colour - 1) % COLOURS) + 1}`);
        return [
          { stroke: faint(stroke), width: 1, spanGaps: true, points: { show: false } },
          { stroke, width: 2, spanGaps: true, points: { show: line.points ?? false, size: 5, fill: stroke, stroke } },
        ];
      })],
      hooks: {
        setCursor: [() => this.tell()],
        setSelect: [(plot) => {
          const { left, width } = plot.select;
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          if (width > 6) this.onZoom?.([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
        }],
        ready: [(plot) => plot.over.addEventListener("dblclick", () => this.onZoom?.(null))],
      },
    };
  }

  // The values under the cursor, or else the last ones, in words beside the title.
  tell() {
    const { plot } = this;
    if (!plot) return;
    const index = plot.cursor.idx;
    const rows = this.lines.map((line, number) => {
      const y = plot.data[(this.smooth[number] ? 1 : 2) + number * 2]; // what was measured, not the mean
      const at = index === null || index === undefined ? nearest(y, y.length - 1) : nearest(y, index);
      return [line, at === null ? null : y[at]];
    });
    const texts = rows.map(([, value]) => (value === null ? "–" : this.format(value)));
    if (this.told === texts.join() && this.legend.childElementCount === rows.length) return;
    this.told = texts.join();
    put(this.legend, rows.map(([line], number) => el("li", { class: `c${((line.colour - 1) % COLOURS) + 1}` }, line.label, el("b", {}, texts[number]))));
    this.holder.tabIndex = 0;
    this.holder.setAttribute("role", "application");
    this.holder.setAttribute("aria-roledescription", "chart");
    this.holder.setAttribute("aria-label", `${this.title}: ${rows.map(([line], number) => `${line.label} ${texts[number]}`).join(", ")}`);
  }

  key(press) {
    const acts = {
      ArrowLeft: () => this.move(-1), ArrowRight: () => this.move(1), Escape: () => this.onZoom?.(null),
      "+": () => this.scale(KEY_ZOOM), "=": () => this.scale(KEY_ZOOM), "-": () => this.scale(1 / KEY_ZOOM),
    };
    if (!this.plot || press.ctrlKey || press.metaKey || press.altKey || !acts[press.key]) return;
    press.preventDefault();
    acts[press.key]();
  }

  // Moves the cursor of all charts; at the edge of what is zoomed into, the view goes on by half of itself.
  move(direction) {
    const { plot } = this;
    const [x] = plot.data;
    const { min, max } = plot.scales.x;
    const shown = x.filter((value) => value >= min && value <= max).length;
    const at = plot.cursor.idx ?? plot.valToIdx((min + max) / 2);
    const next = Math.min(x.length - 1, Math.max(0, at + direction * Math.max(1, Math.round(shown / KEY_MOVES))));
    if (x[next] < min || x[next] > max) {
      const by = direction > 0 ? Math.min((max - min) / 2, x.at(-1) - max) : -Math.min((max - min) / 2, min - x[0]);
      this.onZoom?.([min + by, max + by]);
    } else {
      plot.setCursor({ left: plot.valToPos(x[next], "x"), top: HEIGHT / 2 });
      announce(`${X_LABELS[this.axis]} ${count(x[next])}: ${this.holder.getAttribute("aria-label")}`);
    }
  }

  // Zooms about the cursor, or else about the middle.
  scale(factor) {
    const { plot } = this;
    const { min, max } = plot.scales.x;
    const [low, high] = this.ends(plot.data[0]);
    const { idx } = plot.cursor;
    const at = idx === null || idx === undefined ? (min + max) / 2 : plot.data[0][idx];
    const [begin, end] = [Math.max(low, at - (at - min) * factor), Math.min(high, at + (max - at) * factor)];
    if (end - begin < (high - low) * NARROWEST) return;
    this.onZoom?.(begin <= low && end >= high ? null : [begin, end]);
  }

  close() {
    this.observer.disconnect();
    this.plot?.destroy();
  }
}

// As wide as the longest of its numbers, so that the curve has the rest.
function axisWidth(plot, values, axisIndex, cycle) {
  const axis = plot.axes[axisIndex];
  if (cycle > 1 || !values?.length) return cycle > 1 ? axis._size : LEAST_AXIS_WIDTH;
  plot.ctx.font = axis.font[0];
  const longest = Math.max(...values.map((text) => plot.ctx.measureText(text).width)) / devicePixelRatio;
  return Math.max(LEAST_AXIS_WIDTH, Math.ceil(longest) + axis.gap + 4);
}

// The nearest index at or before it that holds a value, or else after it.
function nearest(values, index) {
  for (let at = index; at >= 0; at -= 1) if (values[at] !== null && values[at] !== undefined) return at;
  for (let at = index + 1; at < values.length; at += 1) if (values[at] !== null && values[at] !== undefined) return at;
  return null;
}

function range(low, high) {
  if (low === null || high === null) return [0, 1];
  const space = high - low || Math.abs(high) * 0.1 || 1;
  const bottom = low >= 0 && low - space * 0.08 < 0 ? 0 : low - space * 0.08;
  return [bottom, high + space * 0.08];
}
