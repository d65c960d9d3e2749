// Numbers and times as people read them. What is not known is a dash.

const NONE = "–";
const whole = new Intl.NumberFormat("en");
const missing = (value) => value === null || value === undefined || Number.isNaN(value);

export function count(value) {
  if (missing(value)) return NONE;
  if (value >= 1e9) return `${(value / 1e9).toPrecision(3)} B`;
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  return value >= 1e4 ? `${(value / 1e3).toPrecision(3)} k` : whole.format(Math.round(value));
}

export function exact(value) {
  return missing(value) ? NONE : whole.format(value);
}

export function bytes(value) {
  if (missing(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  while (value >= 1024 && index < units.length - 1) { value /= 1024; index += 1; }
  return `${index && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[index]}`;
}

export function seconds(value) {
  if (missing(value)) return NONE;
  if (value > 0 && value < 0.05) return "< 0.1 s";
  if (value > 0 && value < 10) return `${value.toFixed(1)} s`;
  const total = Math.max(0, Math.round(value));
  const [days, hours, minutes] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${total % 60} s` : `${total} s`;
}

export function fixed(value, digits = 3) {
  return missing(value) ? NONE : value.toFixed(digits);
}

export function percent(value, digits = 0) {
  return missing(value) ? NONE : `${(value * 100).toFixed(digits)} %`;
}

// Any number, short: learning rates and norms span many powers of ten.
export function short(value) {
  if (missing(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1e4) return count(value);
  return size >= 0.01 || value === 0 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
}

export function when(text) {
  return text ? new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : NONE;
}

export function ago(text) {
  if (!text) return NONE;
  const past = (Date.now() - new Date(text)) / 1000;
  if (past < 45) return "just now";
  for (const [size, name] of [[86400 * 365, "year"], [86400 * 30, "month"], [86400, "day"], [3600, "hour"], [60, "minute"]]) {
    const number = Math.round(past / size);
    if (past >= size * 0.75) return `${number} ${name}${number === 1 ? "" : "s"} ago`;
  }
  return "a minute ago";
}

export function duration(job) {
  if (!job.started_at) return null;
  return (new Date(job.finished_at ?? Date.now()) - new Date(job.started_at)) / 1000;
}
