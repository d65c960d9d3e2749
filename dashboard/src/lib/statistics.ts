// Mean and standard deviation of the values of several runs, and their text.

import type { Maybe } from "./format.ts";

export interface Spread {
  // The number of values that are known.
  n: number;
  mean: number;
  // The sample standard deviation; null if there is only one value.
  deviation: number | null;
}

export function spreadOf(values: Maybe[]): Spread | null {
  const known = values.filter((value): value is number => Number.isFinite(value));
  const n = known.length;
  if (!n) return null;
  const mean = known.reduce((sum, value) => sum + value, 0) / n;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { n, mean, deviation: n > 1 ? Math.sqrt(squares / (n - 1)) : null };
}

type Text = (value: number) => string;

// `3.210 ± 0.012`, with the unit only once if both numbers have it: `61.2 ± 0.4 %`. If the
// deviation rounds to zero, only the mean.
export function spreadText({ mean, deviation }: Spread, text: Text): string {
  if (deviation === null || text(deviation) === text(0)) return text(mean);
  const [one, other] = [text(mean), text(deviation)];
  const unit = / \D*$/.exec(other)?.[0];
  const begin = unit && one.endsWith(unit) ? one.slice(0, -unit.length) : one;
  return `${begin} ± ${other}`;
}

// A difference with its sign; the minus sign is as wide as the plus sign.
export function signed(difference: number, text: Text): string {
  const shown = text(Math.abs(difference));
  if (shown === text(0)) return "±0";
  return `${difference > 0 ? "+" : "−"}${shown}`;
}
