// The estimated time of a job as text, and whether a worker has measured the speed.

export type Device = "cuda" | "cpu";

export interface Estimate {
  // biome-ignore lint/suspicious/noExplicitAny: a spec is JSON
  spec: Record<string, any>;
  parameter_count: number;
  words: number | null;
  tokens: number | null;
  tokens_per_step: number;
  steps: number | null;
  words_seen: number | null;
  device_memory_bytes: number;
  disk_bytes: number;
  seconds: Record<string, number | null>;
  measured_devices: string[];
  warnings: string[];
}

const MEASURED: Record<Device, string> = { cuda: "your GPU", cpu: "your CPU" };
// The devices that the service assumes if no worker has measured its own device.
const ASSUMED: Record<Device, string> = { cuda: "an A100", cpu: "two CPU cores" };
const UNITS = [
  [86400 * 365, "year"],
  [86400, "day"],
  [3600, "hour"],
  [60, "minute"],
] as const;

// A time in one unit, because the estimate is not more precise.
export function roughTime(seconds: number): string {
  for (const [size, name] of UNITS) {
    const number = seconds / size;
    if (number < 1.5) continue;
    const shown = number < 10 ? Math.round(number * 2) / 2 : Math.round(number);
    return `${shown} ${name}s`;
  }
  return seconds < 10 ? "a few seconds" : seconds < 60 ? `${Math.round(seconds)} s` : "a minute";
}

export function isMeasured(estimate: Estimate, device: Device) {
  return estimate.measured_devices.includes(device);
}

// The device of an estimate as text, such as "your GPU".
export function deviceText(estimate: Estimate, device: Device): string {
  return (isMeasured(estimate, device) ? MEASURED : ASSUMED)[device];
}

// "about 2 hours on your GPU", or null if the number of words in the text is not known.
export function timeText(estimate: Estimate, device: Device): string | null {
  const seconds = estimate.seconds[device];
  if (seconds === null || seconds === undefined) return null;
  const text = `about ${roughTime(seconds)} on ${deviceText(estimate, device)}`;
  return isMeasured(estimate, device) ? text : `${text}, not measured here`;
}
