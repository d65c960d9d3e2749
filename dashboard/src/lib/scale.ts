// Maps values to positions from 0 to 1 on an axis: numbers on a linear or logarithmic scale, and
// names at equal distances.

export type Value = number | string | null | undefined;

export interface Tick {
  at: number;
  text: string;
}

export interface Scale {
  isLog: boolean;
  // Whether a logarithmic scale is possible.
  mayLog: boolean;
  place: (value: Value) => number | null;
  ticks: Tick[];
}

interface Options {
  text: (value: number) => string;
  // undefined: logarithmic if the values span more than a factor of `WIDE`.
  isLog?: boolean;
}

const WIDE = 8;
const MARGIN = 0.06;
const MOST_VALUES = 6;
const NUM_TICKS = 7;
// Minimum distance of two ticks, as a share of the axis.
const LEAST_DISTANCE = 0.075;

export function scaleOf(values: Value[], options: Options): Scale {
  const known = values.filter((value) => value !== null && value !== undefined);
  const numbers = known.filter((value): value is number => typeof value === "number");
  return numbers.length && numbers.length === known.length
    ? numberScale(numbers, options)
    : nameScale(known.map(String));
}

function nameScale(values: string[]): Scale {
  const names = [...new Set(values)].sort();
  const at = (index: number) => (index + 0.5) / names.length;
  return {
    isLog: false,
    mayLog: false,
    place: (value) => {
      const index = names.indexOf(String(value));
      return value === null || value === undefined || index < 0 ? null : at(index);
    },
    ticks: names.map((text, index) => ({ at: at(index), text })),
  };
}

function numberScale(values: number[], { text, isLog: wanted }: Options): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const mayLog = least > 0 && most > least;
  const isLog = mayLog && (wanted ?? most / least > WIDE);
  const map = isLog ? Math.log10 : (value: number) => value;
  const [low, high] = widened(map(least), map(most));
  const at = (value: number) => (map(value) - low) / (high - low);
  const distinct = [...new Set(values)].sort((a, b) => a - b);
  const marks = distinct.length <= MOST_VALUES ? distinct : evenMarks(low, high, isLog);
  return {
    isLog,
    mayLog,
    place: (value) => (typeof value === "number" ? at(value) : null),
    ticks: apart(marks.map((value) => ({ at: at(value), text: withoutZeros(text(value)) }))),
  };
}

function widened(low: number, high: number): [number, number] {
  const space = (high - low) * MARGIN || Math.abs(high) * MARGIN || 1;
  return [low - space, high + space];
}

function evenMarks(low: number, high: number, isLog: boolean): number[] {
  if (isLog) {
    const from = Math.floor(low);
    const powers = Array.from({ length: Math.ceil(high) - from + 1 }, (_, index) => from + index);
    const digits = high - low > 2.5 ? [1] : [1, 2, 5];
    return powers
      .flatMap((power) => digits.map((digit) => digit * 10 ** power))
      .filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
  }
  const rough = (high - low) / NUM_TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= rough)!;
  const first = Math.ceil(low / step);
  const count = Math.floor(high / step) - first + 1;
  return Array.from({ length: count }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}

// Returns 3.5 for 3.500, and 2e-4 for 2.0e-4.
function withoutZeros(text: string): string {
  return text.replace(/\.0+(?=\D|$)|(\.\d*[1-9])0+(?=\D|$)/, "$1");
}

// From the lowest tick on, leaves out each tick that would overlap the tick before it.
function apart(ticks: Tick[]): Tick[] {
  const kept: Tick[] = [];
  for (const tick of ticks) {
    const last = kept.at(-1);
    if (!last || (tick.at - last.at >= LEAST_DISTANCE && tick.text !== last.text)) kept.push(tick);
  }
  return kept;
}
