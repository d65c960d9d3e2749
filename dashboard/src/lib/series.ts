// The metrics of a run that the page has received, by name and step. A value that arrives twice,
// for example after a lost connection, is stored once.

import type { JobEvent, MetricsRead } from "../api/types.ts";

export type Axis = "step" | "words_seen" | "time";

interface Place {
  words_seen: number;
  time: number;
}

export interface Point {
  step: number;
  value: number | null;
  words: number;
  seconds: number;
}

export class Series {
  private places = new Map<number, Place>();
  private values = new Map<string, Map<number, number | null>>();
  private sorted = new Map<string, number[]>();
  private steps: number[] | null = null;
  private start: number | undefined;

  get names() {
    return [...this.values.keys()];
  }

  has(name: string) {
    return Boolean(this.values.get(name)?.size);
  }

  // Adds a response of GET /v1/jobs/ID/metrics.
  merge(series: MetricsRead["series"]) {
    for (const [name, data] of Object.entries(series)) {
      const points = this.pointsOf(name);
      data.step.forEach((step, index) => {
        points.set(step, data.value[index]);
        this.place(step, data.words_seen[index], data.time[index]);
      });
    }
  }

  // Adds a `metrics` event.
  add({ data, time }: JobEvent) {
    this.place(data.step, data.words_seen, time);
    for (const [name, value] of Object.entries<number | null>(data.values)) {
      this.pointsOf(name).set(data.step, value);
    }
  }

  // Sets the points of one metric, with the seconds since the start of the run.
  fill(name: string, points: Point[]) {
    const values = this.pointsOf(name);
    for (const { step, value, words, seconds } of points) {
      values.set(step, value);
      this.places.set(step, { words_seen: words, time: seconds });
    }
    this.steps = null;
  }

  private pointsOf(name: string) {
    if (!this.values.has(name)) this.values.set(name, new Map());
    this.sorted.delete(name);
    return this.values.get(name)!;
  }

  private place(step: number, words: number, time: string) {
    this.places.set(step, { words_seen: words, time: Date.parse(time) / 1000 });
    this.steps = null;
  }

  private allSteps() {
    this.steps ??= [...this.places.keys()].sort((a, b) => a - b);
    return this.steps;
  }

  stepsOf(name: string) {
    let steps = this.sorted.get(name);
    if (!steps) {
      steps = [...(this.values.get(name)?.keys() ?? [])].sort((a, b) => a - b);
      this.sorted.set(name, steps);
    }
    return steps;
  }

  // The points of one metric in the order of x: x in the unit of the axis, y, and their steps.
  line(name: string, axis: Axis) {
    const steps = this.stepsOf(name);
    const points = this.values.get(name);
    const y = steps.map((step) => points!.get(step) ?? null);
    if (axis === "step") return { x: steps, y, steps };
    const x = steps.map((step) => this.places.get(step)![axis]);
    if (axis === "words_seen") return { x, y, steps };
    // A run that resumed from an earlier checkpoint repeats steps; the time axis is sorted by time.
    const order = x.map((_, index) => index).sort((a, b) => x[a] - x[b]);
    const start = order.length ? x[order[0]] : 0;
    this.start = Math.min(this.start ?? start, start);
    return {
      x: order.map((index) => x[index] - this.start!),
      y: order.map((index) => y[index]),
      steps: order.map((index) => steps[index]),
    };
  }

  // The measured step that is nearest to a position, with its words seen and its seconds since the
  // start of the run.
  at(position: number, axis: Axis) {
    const steps = this.allSteps();
    if (!steps.length) return null;
    const start = this.places.get(steps[0])!.time;
    const of = (step: number) => {
      const place = this.places.get(step)!;
      if (axis === "step") return step;
      return axis === "time" ? place.time - start : place.words_seen;
    };
    const step = steps[nearestIndex(steps.length, (index) => of(steps[index]), position)];
    const place = this.places.get(step)!;
    return { step, words: place.words_seen, seconds: place.time - start };
  }

  // The position of a step, or of a time in milliseconds, on an axis.
  locate(mark: { step?: number; time?: number }, axis: Axis): number | null {
    const steps = this.allSteps();
    if (!steps.length) return null;
    const start = this.places.get(steps[0])!.time;
    if (mark.time !== undefined && axis === "time") return mark.time / 1000 - start;
    const time = (index: number) => this.places.get(steps[index])!.time;
    const found =
      mark.step !== undefined
        ? this.at(mark.step, "step")
        : this.at(steps[nearestIndex(steps.length, time, (mark.time ?? 0) / 1000)], "step");
    if (!found) return null;
    if (axis === "step") return mark.step ?? found.step;
    return axis === "time" ? found.seconds : found.words;
  }

  last(name: string): number | null {
    const step = this.stepsOf(name).at(-1);
    return step === undefined ? null : (this.values.get(name)!.get(step) ?? null);
  }

  first(name: string): number | null {
    const step = this.stepsOf(name)[0];
    return step === undefined ? null : (this.values.get(name)!.get(step) ?? null);
  }

  lowest(name: string): number | null {
    const known = [...(this.values.get(name)?.values() ?? [])].filter((value) => value !== null);
    return known.length ? Math.min(...known) : null;
  }

  // The integral of a metric over time, such as joules from watts.
  integral(name: string): number | null {
    const { x, y } = this.line(name, "time");
    if (x.length < 2) return null;
    let sum = 0;
    for (let index = 1; index < x.length; index += 1) {
      sum += (x[index] - x[index - 1]) * (((y[index] ?? 0) + (y[index - 1] ?? 0)) / 2);
    }
    return sum;
  }
}

// The index of the nearest value, by bisection over values in ascending order.
function nearestIndex(length: number, valueAt: (index: number) => number, wanted: number) {
  let low = 0;
  let high = length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (valueAt(middle) < wanted) low = middle + 1;
    else high = middle;
  }
  return low > 0 && wanted - valueAt(low - 1) < valueAt(low) - wanted ? low - 1 : low;
}

type Values = (number | null)[];

// The mean of a forward and a backward exponential average. A forward average alone would lag.
// `weight` is from 0 (no smoothing) to 1.
export function smoothed(values: Values, weight: number): Values {
  if (!weight) return values;
  const forward = oneSided(values, weight);
  const backward = oneSided([...values].reverse(), weight).reverse();
  return values.map((value, index) =>
    value === null ? null : (forward[index]! + backward[index]!) / 2,
  );
}

function oneSided(values: Values, weight: number): Values {
  let mean = 0;
  let seen = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = mean * weight + value * (1 - weight);
    seen += 1;
    return mean / (1 - weight ** seen);
  });
}

// The weight for a strength of smoothing. The mean covers a share of the curve, so the effect does
// not depend on the number of points.
export function weightFor(strength: number, length: number): number {
  if (!strength || length < 3) return 0;
  const reach = Math.max(1, strength * 0.12 * length);
  return 1 - 1 / (1 + reach);
}
