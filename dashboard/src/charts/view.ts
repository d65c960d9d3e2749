// The view of all charts of a page, such as axis and smoothing. The address contains the view, so
// that a link restores it. Without a view in the address, the last choice in this browser applies.

import { effect, signal } from "@preact/signals";
import type { Axis } from "../lib/series.ts";
import { rememberPage, setParameters } from "../router.ts";

const SAVED = "chart-view";
// Minimum time between two changes of the address. Browsers limit the number of changes, and
// dragging the slider would otherwise exceed the limit.
const ADDRESS_MILLISECONDS = 300;
const AXES: readonly Axis[] = ["step", "words_seen", "time"];
const FLAGS = ["log", "cut", "marks"] as const;
export type Zoom = [low: number, high: number] | null;

export interface ChartView {
  axis: Axis;
  smoothing: number;
  log: boolean;
  // Whether the vertical range leaves out the most extreme values.
  cut: boolean;
  marks: boolean;
}

const DEFAULT: ChartView = { axis: "step", smoothing: 0.4, log: false, cut: false, marks: true };

function stored(): ChartView {
  try {
    return { ...DEFAULT, ...JSON.parse(localStorage.getItem(SAVED) ?? "{}") };
  } catch {
    return DEFAULT;
  }
}

export const chartView = signal<ChartView>(stored());

effect(() => {
  localStorage.setItem(SAVED, JSON.stringify(chartView.value));
});

let timer: ReturnType<typeof setTimeout> | undefined;

export function changeView(values: Partial<ChartView>) {
  chartView.value = { ...chartView.value, ...values };
  const isSamePage = rememberPage();
  clearTimeout(timer);
  timer = setTimeout(() => {
    if (isSamePage()) setParameters({ view: viewText(chartView.value) });
  }, ADDRESS_MILLISECONDS);
}

// `AXIS,SMOOTHING,FLAG,...`, such as `words_seen,0.4,log,marks`.
function viewText(view: ChartView): string {
  return [view.axis, view.smoothing, ...FLAGS.filter((name) => view[name])].join(",");
}

// Applies the view of the address, if it has a valid one.
export function readView(parameters: URLSearchParams) {
  const [axis, smoothing, ...flags] = (parameters.get("view") ?? "").split(",");
  const known = AXES.find((one) => one === axis);
  const weight = Number(smoothing);
  if (!known || !(weight >= 0 && weight <= 1)) return;
  const [log, cut, marks] = FLAGS.map((name) => flags.includes(name));
  chartView.value = { axis: known, smoothing: weight, log, cut, marks };
}

// `LOW:HIGH` on the axis of the view.
export function readZoom(parameters: URLSearchParams): Zoom {
  const [low, high] = (parameters.get("zoom") ?? "").split(":").map(Number);
  return Number.isFinite(low) && Number.isFinite(high) && low < high ? [low, high] : null;
}

export function writeZoom(zoom: Zoom) {
  setParameters({ zoom: zoom?.map((edge) => Number(edge.toPrecision(6))).join(":") });
}
