// How the charts of a page are drawn; shared by all of them and kept between visits.

import { effect, signal } from "@preact/signals";
import type { Axis } from "../lib/series.ts";

const SAVED = "chart-view";
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

export function changeView(values: Partial<ChartView>) {
  chartView.value = { ...chartView.value, ...values };
}
