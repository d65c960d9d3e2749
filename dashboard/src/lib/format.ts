// Numbers and times as text. An unknown value is a dash.

const NONE = "–";
const whole = new Intl.NumberFormat("en");

export type Maybe = number | null | undefined;

function isMissing(value: Maybe): value is null | undefined {
  return value === null || value === undefined || Number.isNaN(value);
}

export function count(value: Maybe): string {
  if (isMissing(value)) return NONE;
  const unit = Math.round(value) < 1e4 ? undefined : unitOf(value, 3);
  if (!unit) return whole.format(Math.round(value));
  return `${(value / unit.size).toPrecision(3)}${unit.name}`;
}

// The largest unit that gives at least 1 after rounding: with 3 digits, 999,990 is 1.00M.
function unitOf(value: number, digits: number) {
  return [
    { size: 1e9, name: "B" },
    { size: 1e6, name: "M" },
    { size: 1e3, name: "k" },
  ].find(({ size }) => Number((Math.abs(value) / size).toPrecision(digits)) >= 1);
}

// The same as `count`, for the ticks of an axis: 1k, 2.5M.
export function tickCount(value: number): string {
  const { size, name } = unitOf(value, 4) ?? { size: 1, name: "" };
  return `${Number((value / size).toPrecision(4))}${name}`;
}

export function exact(value: Maybe): string {
  return isMissing(value) ? NONE : whole.format(value);
}

export function plural(number: number, noun: string, many = `${noun}s`): string {
  return `${exact(number)} ${number === 1 ? noun : many}`;
}

// A message of the service as a sentence: with a capital, unless it begins with a name.
export function sentence(text: string): string {
  return /^[a-z]+[ ,]/.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
}

export function bytes(value: Maybe): string {
  if (isMissing(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let index = 0;
  while (Math.round(size) >= 1024 && index < units.length - 1) {
    size /= 1024;
    index += 1;
  }
  return `${index && size < 100 ? size.toFixed(1) : Math.round(size)} ${units[index]}`;
}

export function seconds(value: Maybe): string {
  if (isMissing(value)) return NONE;
  if (value > 0 && value < 0.05) return "< 0.1 s";
  if (value > 0 && value < 10) return `${value.toFixed(1)} s`;
  const total = Math.max(0, Math.round(value));
  const days = Math.floor(total / 86400);
  const hours = Math.floor(total / 3600) % 24;
  const minutes = Math.floor(total / 60) % 60;
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${total % 60} s` : `${total} s`;
}

export function fixed(value: Maybe, digits = 3): string {
  return isMissing(value) ? NONE : value.toFixed(digits);
}

export function percent(value: Maybe, digits = 0): string {
  return isMissing(value) ? NONE : `${(value * 100).toFixed(digits)} %`;
}

// A share or a correlation (from -1 to 1) in percent; any other score, such as a mean
// log-probability, with two decimals.
export function score(value: Maybe): string {
  return isMissing(value) || Math.abs(value) <= 1 ? percent(value, 1) : fixed(value, 2);
}

// Any number in few characters, because learning rates and norms span many powers of ten.
export function short(value: Maybe): string {
  if (isMissing(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1e4) return count(value);
  if (size >= 0.01 || value === 0) return String(Number(value.toPrecision(3)));
  return value.toExponential(1);
}

export function when(text: string | null | undefined): string {
  if (!text) return NONE;
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

const AGES = [
  [86400 * 365, "year"],
  [86400 * 30, "month"],
  [86400, "day"],
  [3600, "hour"],
  [60, "minute"],
] as const;

export function ago(text: string | null | undefined): string {
  if (!text) return NONE;
  const past = (Date.now() - Date.parse(text)) / 1000;
  if (past < 45) return "just now";
  for (const [size, name] of AGES) {
    if (past >= size * 0.75) return `${plural(Math.round(past / size), name)} ago`;
  }
  return "a minute ago";
}
