// The mean of the curves of several seeds, and the band of one standard deviation around it.

import { type Point, Series } from "./series.ts";
import { spreadOf } from "./statistics.ts";

// Maximum number of points of a mean curve.
const MOST_POINTS = 800;

export interface SeedCurves {
  mean: Series;
  band: { low: Series; high: Series };
}

export function seedCurves(members: Series[]): SeedCurves {
  const curves = { mean: new Series(), band: { low: new Series(), high: new Series() } };
  for (const name of new Set(members.flatMap(({ names }) => names))) {
    const points = meanPoints(members.filter((one) => one.has(name)).map((one) => read(one, name)));
    const moved = (sign: number) =>
      points.map((point) => ({ ...point, value: point.value + sign * point.deviation }));
    curves.mean.fill(name, points);
    curves.band.low.fill(name, moved(-1));
    curves.band.high.fill(name, moved(1));
  }
  return curves;
}

// The points of one metric of one run in the order of their steps.
function read(series: Series, name: string): Point[] {
  const { steps, y } = series.line(name, "step");
  const words = series.line(name, "words_seen").x;
  const times = series.line(name, "time");
  const seconds = new Map(times.steps.map((step, index) => [step, times.x[index]]));
  return steps
    .map((step, index) => ({
      step,
      value: y[index],
      words: words[index],
      seconds: seconds.get(step) ?? 0,
    }))
    .filter(({ value }) => value !== null);
}

type MeanPoint = Point & { value: number; deviation: number };

// The mean at each step at which a run has a value. A run without a value at a step counts with an
// interpolated value. Steps that only one of several runs has reached are left out.
function meanPoints(runs: Point[][]): MeanPoint[] {
  const cursors = runs.map((points) => new Cursor(points));
  const least = Math.min(2, runs.length);
  return thinned([...new Set(runs.flat().map(({ step }) => step))].sort((a, b) => a - b)).flatMap(
    (step) => {
      const found = cursors.map((cursor) => cursor.at(step)).filter((one) => one !== null);
      const mean = (value: (point: Point) => number | null) => spreadOf(found.map(value));
      const spread = mean(({ value }) => value);
      if (!spread || spread.n < least) return [];
      const words = mean((point) => point.words)!.mean;
      const seconds = mean((point) => point.seconds)!.mean;
      return [{ step, value: spread.mean, deviation: spread.deviation ?? 0, words, seconds }];
    },
  );
}

function thinned(steps: number[]): number[] {
  const every = Math.ceil(steps.length / MOST_POINTS);
  return steps.filter((_, index) => index % every === 0 || index === steps.length - 1);
}

// Reads a curve at ascending steps.
class Cursor {
  private index = 0;

  constructor(private points: Point[]) {}

  at(step: number): Point | null {
    const { points } = this;
    while (this.index < points.length - 1 && points[this.index + 1].step <= step) this.index += 1;
    const before = points[this.index];
    if (!before || before.step > step) return null;
    if (before.step === step) return before;
    const after = points[this.index + 1];
    if (!after) return null;
    const share = (step - before.step) / (after.step - before.step);
    const between = (one: number, other: number) => one + share * (other - one);
    return {
      step,
      value: between(before.value!, after.value!),
      words: between(before.words, after.words),
      seconds: between(before.seconds, after.seconds),
    };
  }
}
