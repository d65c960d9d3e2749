// One uPlot drawing, and its control by keys. The drawing is created again if its lines or axes
// change, and updated if its data changes.

import { signal } from "@preact/signals";
import uPlot from "uplot";
import type { Axis } from "../lib/series.ts";
import type { Kind } from "./catalogue.ts";
import {
  colour,
  curvesOf,
  fadeOthers,
  type Line,
  type Mark,
  marksNear,
  measured,
  type PlotData,
  plotData,
  plotOptions,
} from "./plot.ts";
import type { ChartView, Zoom } from "./view.ts";

const KEY_ZOOM = 0.6;
const KEY_MOVES = 40; // number of presses of an arrow key that move the cursor across a chart
const ALMOST_ALL = 1 - 1e-6; // share of the range that counts as the whole range
const NARROWEST = 1e-4; // minimum share of the whole range that the keys zoom into

export interface Drawing {
  kind: Kind;
  lines: Line[];
  view: ChartView;
  axis: Axis;
  zoom: Zoom;
  marks: Mark[];
  // The ids of the lines that are not drawn.
  hidden: Set<string>;
  // The id of the line that is drawn strongly, while all others are faded; null: none is faded.
  focused: string | null;
}

export class PlotController {
  // Index of the data point under the cursor; null: the cursor is not over the chart.
  cursor = signal<number | null>(null);
  // A number that increases with each drawing, so that components show the new values.
  version = signal(0);
  isHovered = signal(false);
  // Called with the new range after a zoom; null: the chart cannot be zoomed.
  onZoom: ((zoom: Zoom) => void) | null = null;
  private plot: uPlot | null = null;
  private shape = "";
  private data: PlotData = { aligned: [[]], curves: [] };
  private drawing: Drawing | null = null;
  private observer: ResizeObserver;

  constructor(private holder: HTMLElement) {
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(holder);
  }

  private resize() {
    const { clientWidth: width, clientHeight: height } = this.holder;
    const { plot } = this;
    if (plot && width > 0 && (width !== plot.width || height !== plot.height)) {
      plot.setSize({ width, height });
    }
  }

  draw(drawing: Drawing) {
    const { lines, kind, view, axis, hidden, focused } = drawing;
    this.drawing = drawing;
    this.data = plotData(lines, kind, view, axis);
    const { aligned, curves } = this.data;
    const names = lines.map(({ id, label, colour: tone, band }) => [id, label, tone, !band]);
    const shape = JSON.stringify([names, axis, view.log, view.cut, colour("--ink")]);
    if (shape !== this.shape || !this.plot) this.create(shape, drawing);
    else this.plot.setData(aligned, false);
    this.holder.dataset.points = String(aligned[0].length);
    const plot = this.plot!;
    plot.batch(() => {
      lines.forEach((line, index) => {
        const show = !hidden.has(line.id);
        for (const series of curvesOf(curves[index])) {
          if (plot.series[series].show !== show) plot.setSeries(series, { show });
        }
      });
      fadeOthers(plot, lines, curves, focused);
      this.show(drawing.zoom);
    });
    this.version.value += 1;
  }

  // Draws one line strongly and fades the others; null: draws all strongly.
  focus(id: string | null) {
    if (!this.plot || !this.drawing) return;
    this.drawing.focused = id;
    fadeOthers(this.plot, this.drawing.lines, this.data.curves, id);
    this.plot.redraw(false);
  }

  private create(shape: string, { lines, kind, view, axis }: Drawing) {
    this.clear();
    this.shape = shape;
    const { clientWidth: width, clientHeight: height } = this.holder;
    const hooks: uPlot.Hooks.Arrays = {
      setCursor: [(plot) => this.hover(plot.cursor.idx ?? null)],
      setSelect: [(plot) => this.select(plot)],
      ready: [(plot) => this.listen(plot)],
    };
    const marks = () => (view.marks ? (this.drawing?.marks ?? []) : []);
    const { data } = this;
    const options = { width: width || 400, height, lines, data, kind, view, axis, marks, hooks };
    this.plot = new uPlot(plotOptions(options), data.aligned, this.holder);
  }

  private listen(plot: uPlot) {
    plot.over.addEventListener("dblclick", () => this.zoomTo(null));
    plot.over.addEventListener("mouseenter", () => {
      this.isHovered.value = true;
    });
    plot.over.addEventListener("mouseleave", () => {
      this.isHovered.value = false;
    });
  }

  private hover(index: number | null) {
    const isOver = (this.plot?.cursor.left ?? -1) >= 0;
    this.cursor.value = isOver ? index : null;
  }

  private select(plot: uPlot) {
    const { left, width } = plot.select;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (width > 6) this.zoomTo([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  }

  // The value of each line under the cursor, or its last value if there is no cursor.
  values(): (number | null)[] {
    const index = this.cursor.value;
    return (this.drawing?.lines ?? []).map((_, line) => {
      const y = measured(this.data, line);
      const at = nearest(y, index ?? y.length - 1);
      return at === null ? null : y[at];
    });
  }

  // The position of the cursor on the x axis and in pixels, and the marks near it.
  place() {
    const { plot, drawing } = this;
    const index = this.cursor.value;
    if (!plot || !drawing || index === null) return null;
    const series = drawing.lines[0].series;
    const marks = drawing.view.marks ? marksNear(plot, series, drawing.marks, drawing.axis) : [];
    const x = plot.data[0][index];
    const left = plot.over.offsetLeft + (plot.cursor.left ?? 0);
    return { x, left, width: plot.width, at: series.at(x, drawing.axis), marks };
  }

  canvas() {
    return this.plot?.root.querySelector("canvas") ?? null;
  }

  leave() {
    this.plot?.setCursor({ left: -10, top: -10 });
  }

  // Handles a key; returns whether the key moved the cursor.
  key(press: KeyboardEvent): boolean {
    const acts: Record<string, () => void> = {
      ArrowLeft: () => this.move(-1),
      ArrowRight: () => this.move(1),
      Escape: () => this.zoomTo(null),
      "+": () => this.scale(KEY_ZOOM),
      "=": () => this.scale(KEY_ZOOM),
      "-": () => this.scale(1 / KEY_ZOOM),
    };
    const act = acts[press.key];
    if (!this.plot || press.ctrlKey || press.metaKey || press.altKey || !act) return false;
    press.preventDefault();
    act();
    return press.key.startsWith("Arrow");
  }

  // Moves the cursor; at the edge of the zoomed range, the view moves by half its width.
  private move(direction: number) {
    const plot = this.plot!;
    const x = plot.data[0];
    const { min = 0, max = 1 } = plot.scales.x;
    const shown = x.filter((value) => value >= min && value <= max).length;
    const at = plot.cursor.idx ?? plot.valToIdx((min + max) / 2);
    const distance = direction * Math.max(1, Math.round(shown / KEY_MOVES));
    const next = Math.min(x.length - 1, Math.max(0, at + distance));
    if (x[next] < min || x[next] > max) {
      const half = (max - min) / 2;
      const by = direction > 0 ? Math.min(half, x.at(-1)! - max) : -Math.min(half, min - x[0]);
      this.zoomTo([min + by, max + by]);
    } else {
      plot.setCursor({ left: plot.valToPos(x[next], "x"), top: plot.height / 2 });
    }
  }

  // Zooms. The position of the cursor, or else the middle of the view, stays in place.
  private scale(factor: number) {
    const plot = this.plot!;
    const { min = 0, max = 1 } = plot.scales.x;
    const [low, high] = ends(plot.data[0]);
    const index = plot.cursor.idx;
    const at = index === null || index === undefined ? (min + max) / 2 : plot.data[0][index];
    const width = (max - min) * factor;
    if (width < (high - low) * NARROWEST) return;
    // Only the width shows whether this is the whole range: the edges also depend on the cursor,
    // which may have moved since the last zoom. The comparison allows for rounding errors.
    const isAll = width > (high - low) * ALMOST_ALL;
    const begin = Math.min(Math.max(low, at - (at - min) * factor), high - width);
    this.zoomTo(isAll ? null : [begin, begin + width]);
  }

  // Changes the range at once, because the next key may be pressed before the page draws again.
  private zoomTo(zoom: Zoom) {
    if (!this.onZoom) return;
    this.show(zoom);
    this.onZoom(zoom);
  }

  // Shows a range of the x axis; null: the whole axis.
  private show(zoom: Zoom) {
    const plot = this.plot!;
    const [low, high] = zoom ?? ends(plot.data[0]);
    plot.setScale("x", { min: low, max: high > low ? high : low + 1 });
  }

  clear() {
    this.plot?.destroy();
    this.plot = null;
    this.shape = "";
    delete this.holder.dataset.points;
  }

  close() {
    this.observer.disconnect();
    this.clear();
  }
}

function ends(x: ArrayLike<number>): [number, number] {
  return x.length ? [x[0], x[x.length - 1]] : [0, 1];
}

// The nearest index with a value at or before `index`, or else the nearest one after `index`.
function nearest(values: (number | null | undefined)[], index: number) {
  const isKnown = (at: number) => values[at] !== null && values[at] !== undefined;
  for (let at = index; at >= 0; at -= 1) if (isKnown(at)) return at;
  for (let at = index + 1; at < values.length; at += 1) if (isKnown(at)) return at;
  return null;
}
