// uPlot's options and data for one chart.

import uPlot from "uplot";
import { bytes, seconds, tickCount } from "../lib/format.ts";
import { type Axis, type Series, smoothed, weightFor } from "../lib/series.ts";
import type { Format, Kind } from "./catalogue.ts";
import type { ChartView } from "./view.ts";

const COLOURS = 8;
const FAINT = 0.28;
const BAND = 0.16;
const FADED = 0.12;
const LEAST_AXIS_WIDTH = 34;
const FONT = "12px Inter, system-ui, sans-serif";
const CUT_SHARE = 0.02;
export const X_LABELS: Record<Axis, string> = {
  step: "steps",
  words_seen: "words seen",
  time: "time since the start",
};
// The distances between ticks of byte values: powers of two, from 1 MiB on.
const POWERS_OF_TWO = Array.from({ length: 30 }, (_, power) => 2 ** (power + 20));
const WHOLE = Array.from({ length: 13 }, (_, power) =>
  [1, 2, 5].map((digit) => digit * 10 ** power),
).flat(); // whole numbers, because there is no half step
const MINUTE = 60;
const HOUR = 3600;
const TIMES = [
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((number) => number * MINUTE),
  ...[1, 2, 4, 6, 12, 24, 48, 96, 168].map((number) => number * HOUR),
];

export interface Line {
  // Identifies the line within its chart.
  id: string;
  series: Series;
  name: string;
  label: string;
  colour: number;
  showsPoints: boolean;
  // The edges of the band around a mean over seeds.
  band?: { low: Series; high: Series };
}

export interface Mark {
  kind: "milestone" | "checkpoint" | "warning" | "resume";
  label: string;
  step?: number;
  time?: number;
}

const MARK_COLOURS = {
  milestone: "--good",
  checkpoint: "--edge",
  warning: "--warn",
  resume: "--line-4",
};

const probe = document.createElement("i");
probe.hidden = true;

// The colour of a CSS variable. An element resolves it, because a canvas cannot resolve
// light-dark().
export function colour(name: string): string {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

// Colours are numbered from 1 and repeat.
const repeated = (number: number) => ((number - 1) % COLOURS) + 1;

export function lineColour(number: number): string {
  return colour(`--line-${repeated(number)}`);
}

// The CSS class that gives an element the colour of a line.
export function colourClass(number: number): string {
  return `c${repeated(number)}`;
}

function translucent(text: string, alpha: number) {
  return text.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

// The indexes of the curves of a line in the aligned data: the measured values, the smoothed
// values, and the two edges of the band.
export interface Curves {
  measured: number;
  smooth: number;
  band: [low: number, high: number] | null;
  isSmooth: boolean;
}

export interface PlotData {
  aligned: uPlot.AlignedData;
  curves: Curves[];
}

// The data of the curves of each line over the union of all x values. Curves are drawn in their
// order, so the mean comes after its band and is drawn over the band.
export function plotData(lines: Line[], kind: Kind, view: ChartView, axis: Axis): PlotData {
  const isLog = view.log && Boolean(kind.mayLog);
  const values = (series: Series, name: string) => {
    const { x, y } = series.line(name, axis);
    return { x, y: isLog ? y.map((value) => (value !== null && value > 0 ? value : null)) : y };
  };
  const curves: Curves[] = [];
  let next = 1;
  const tables = lines.map((line): uPlot.AlignedData => {
    const { x, y } = values(line.series, line.name);
    const wanted = kind.isExact ? 0 : Math.max(view.smoothing, kind.calm ?? 0);
    const strength = line.showsPoints ? 0 : wanted;
    const weight = weightFor(strength, y.length);
    const edges = line.band
      ? [line.band.low, line.band.high].map((edge) => smoothed(values(edge, line.name).y, weight))
      : [];
    const first = next + edges.length;
    const band: Curves["band"] = line.band ? [next, next + 1] : null;
    curves.push({ measured: first, smooth: first + 1, band, isSmooth: strength > 0 });
    next = first + 2;
    const faintLine = strength > 0 ? y : y.map(() => null);
    return [x, ...edges, faintLine, smoothed(y, weight)];
  });
  return { aligned: uPlot.join(tables), curves };
}

// The measured values of a line, without smoothing.
export function measured({ aligned, curves }: PlotData, index: number) {
  const { isSmooth, measured: raw, smooth } = curves[index];
  return aligned[isSmooth ? raw : smooth] as (number | null)[];
}

export function curvesOf({ measured: raw, smooth, band }: Curves): number[] {
  return [...(band ?? []), raw, smooth];
}

// Fades the curves of all lines except the line `focused`; if it is null, fades none.
export function fadeOthers(plot: uPlot, lines: Line[], curves: Curves[], focused: string | null) {
  const isKnown = lines.some(({ id }) => id === focused);
  lines.forEach(({ id }, index) => {
    const alpha = isKnown && id !== focused ? FADED : 1;
    for (const number of curvesOf(curves[index])) plot.series[number].alpha = alpha;
  });
}

interface PlotOptions {
  width: number;
  height: number;
  lines: Line[];
  data: PlotData;
  kind: Kind;
  view: ChartView;
  axis: Axis;
  marks: () => Mark[];
  hooks: uPlot.Hooks.Arrays;
}

export function plotOptions(options: PlotOptions): uPlot.Options {
  const { width, height, lines, data, kind, view, axis, hooks, marks } = options;
  const isLog = view.log && Boolean(kind.mayLog);
  return {
    width,
    height,
    padding: [8, 14, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: `run by ${axis}` },
      points: { size: 7 },
      drag: { x: true, y: false, setScale: false },
    },
    scales: {
      x: { time: false },
      y: {
        distr: isLog ? 3 : 1,
        range: isLog ? undefined : (plot, low, high) => range(view.cut ? cut(plot) : [low, high]),
      },
    },
    axes: axes(kind, axis),
    series: [{}, ...lines.flatMap(seriesOf)],
    bands: lines.flatMap((line, index) => bandOf(line, data.curves[index])),
    hooks: { ...hooks, draw: [(plot) => drawMarks(plot, lines[0]?.series, marks(), axis)] },
  };
}

function seriesOf(line: Line): uPlot.Series[] {
  const stroke = lineColour(line.colour);
  const points = { show: line.showsPoints, size: 5, fill: stroke, stroke };
  const edge: uPlot.Series = { width: 0, spanGaps: true, points: { show: false } };
  const common = { spanGaps: true, points: { show: false } };
  // The unsmoothed line of a mean has the width 0, because it would hide the band of the mean.
  const width = line.band ? 0 : 1;
  return [
    ...(line.band ? [edge, edge] : []).map((one) => ({ ...one })),
    { ...common, stroke: translucent(stroke, FAINT), width },
    { ...common, stroke, width: 2, points },
  ];
}

function bandOf(line: Line, { band }: Curves): uPlot.Band[] {
  if (!band) return [];
  const fill = translucent(lineColour(line.colour), BAND);
  return [{ series: [band[1], band[0]], fill }];
}

function axes(kind: Kind, axis: Axis): uPlot.Axis[] {
  const grid = { stroke: colour("--line"), width: 1 };
  const common = { stroke: colour("--soft"), grid, ticks: { show: false }, font: FONT };
  const xLabel = axis === "time" ? (value: number) => seconds(value) : tickCount;
  const yLabel: Format = kind.ticks ?? kind.format;
  return [
    {
      ...common,
      incrs: axis === "time" ? TIMES : WHOLE,
      values: (_, ticks) => ticks.map(xLabel),
      size: 26,
      space: 70,
      label: X_LABELS[axis],
      labelFont: FONT,
      labelSize: 18,
      labelGap: 0,
    },
    {
      ...common,
      size: axisWidth,
      incrs: kind.format === bytes ? POWERS_OF_TWO : undefined,
      values: (_, ticks, __, ___, step) =>
        ticks.map((tick) => (tick === null ? "" : yLabel(tick, step))),
    },
  ];
}

// The width of an axis: the width of its longest label, so that the curves get all other space.
function axisWidth(plot: uPlot, values: string[], index: number, cycle: number) {
  const axis = plot.axes[index] as uPlot.Axis & { _size: number };
  if (cycle > 1) return axis._size;
  if (!values?.length) return LEAST_AXIS_WIDTH;
  plot.ctx.font = (axis.font as unknown as string[])[0];
  const widths = values.map((text) => plot.ctx.measureText(text).width);
  const longest = Math.max(...widths) / devicePixelRatio;
  return Math.max(LEAST_AXIS_WIDTH, Math.ceil(longest) + (axis.gap ?? 0) + 4);
}

function range([low, high]: (number | null)[]): [number, number] {
  if (low === null || high === null) return [0, 1];
  const space = high - low || Math.abs(high) * 0.1 || 1;
  const bottom = low >= 0 && low - space * 0.08 < 0 ? 0 : low - space * 0.08;
  return [bottom, high + space * 0.08];
}

// The range of the visible values without the most extreme values on both sides.
function cut(plot: uPlot): (number | null)[] {
  const [first, last] = plot.series[0].idxs ?? [0, plot.data[0].length - 1];
  const values = plot.series
    .flatMap(({ show }, index) =>
      index && show ? Array.from(plot.data[index]).slice(first, last + 1) : [],
    )
    .filter((value): value is number => value !== null && value !== undefined)
    .sort((a, b) => a - b);
  if (!values.length) return [null, null];
  const left = Math.floor(values.length * CUT_SHARE);
  return [values[left], values[values.length - 1 - left]];
}

function drawMarks(plot: uPlot, series: Series | undefined, marks: Mark[], axis: Axis) {
  if (!series) return;
  const { ctx, bbox } = plot;
  const size = 5 * devicePixelRatio;
  const bottom = bbox.top + bbox.height;
  ctx.save();
  for (const mark of marks) {
    const x = markPosition(plot, series, mark, axis);
    if (x === null) continue;
    ctx.fillStyle = colour(MARK_COLOURS[mark.kind]);
    ctx.beginPath();
    ctx.moveTo(x, bottom - size * 1.6);
    ctx.lineTo(x - size * 0.8, bottom);
    ctx.lineTo(x + size * 0.8, bottom);
    ctx.fill();
  }
  ctx.restore();
}

// The position of a mark in pixels of the canvas; null if the mark is not in view.
function markPosition(plot: uPlot, series: Series, mark: Mark, axis: Axis) {
  const value = series.locate(mark, axis);
  const { min, max } = plot.scales.x;
  if (value === null || value < (min ?? 0) || value > (max ?? 0)) return null;
  return plot.valToPos(value, "x", true);
}

const MARK_REACH = 6;

// The marks under the cursor.
export function marksNear(plot: uPlot, series: Series, marks: Mark[], axis: Axis): Mark[] {
  const { left } = plot.cursor;
  if (left === undefined || left < 0) return [];
  const at = left * devicePixelRatio + plot.bbox.left;
  return marks.filter((mark) => {
    const x = markPosition(plot, series, mark, axis);
    return x !== null && Math.abs(x - at) < MARK_REACH * devicePixelRatio;
  });
}
