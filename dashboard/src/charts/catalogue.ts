// The metrics that share a chart, and the formats of their values.

import { bytes, count, percent, seconds, short } from "../lib/format.ts";
import type { Axis } from "../lib/series.ts";

export type Format = (value: number, step?: number) => string;

export interface Kind {
  title: string;
  // The name of each metric, and its label if several metrics share the chart.
  metrics: [name: string, label: string][];
  format: Format;
  ticks?: Format;
  note?: string;
  unit?: string;
  isWide?: boolean;
  mayLog?: boolean;
  // Whether the values are drawn without smoothing.
  isExact?: boolean;
  // Minimum smoothing, for values that vary strongly.
  calm?: number;
  axis?: Axis;
}

const loss: Format = (value) => (Math.abs(value) < 100 ? value.toFixed(3) : count(value));
const tick: Format = (value) => String(Number(value.toPrecision(4)));
const share: Format = (value) => percent(value, 1);

// A share with as many digits as are necessary to distinguish the ticks of an axis.
const shareTick: Format = (value, step = 0) =>
  percent(
    value,
    step > 0 ? Math.min(3, Math.max(0, Math.ceil(-Math.log10(step * 100) - 1e-9))) : 0,
  );

const KINDS: Kind[] = [
  {
    title: "Loss",
    metrics: [
      ["train/loss", "training"],
      ["validation/loss", "validation"],
    ],
    format: loss,
    ticks: tick,
    mayLog: true,
    note: "Cross-entropy in nats per token",
    unit: "nats per token",
    isWide: true,
  },
  {
    title: "Perplexity",
    metrics: [["validation/perplexity", "validation"]],
    format: short,
    mayLog: true,
    note: "exp of the validation loss",
  },
  {
    title: "Bits per byte",
    metrics: [["validation/bits_per_byte", "validation"]],
    format: loss,
    ticks: tick,
    mayLog: true,
    note: "Validation loss per byte, comparable between vocabularies",
  },
  {
    title: "Learning rate",
    metrics: [["train/learning_rate", "learning rate"]],
    format: short,
    isExact: true,
    mayLog: true,
  },
  {
    title: "Gradient norm",
    metrics: [["train/grad_norm", "before clipping"]],
    format: short,
    mayLog: true,
  },
  {
    title: "Throughput",
    metrics: [
      ["throughput/tokens_per_second", "tokens/s"],
      ["throughput/words_per_second", "words/s"],
    ],
    format: count,
    calm: 0.35,
  },
  {
    title: "Model FLOPs utilization",
    metrics: [["throughput/mfu", "of peak"]],
    format: share,
    ticks: shareTick,
    calm: 0.35,
    note: "Share of the device's measured peak speed for matrix products",
  },
  {
    title: "Memory",
    metrics: [
      ["memory/host_rss_bytes", "host"],
      ["memory/host_peak_bytes", "host, peak"],
      ["memory/device_allocated_bytes", "device"],
      ["memory/device_reserved_bytes", "reserved"],
      ["memory/device_peak_bytes", "device, peak"],
    ],
    format: bytes,
    isExact: true,
  },
  {
    title: "Device utilization",
    metrics: [["device/utilization", "in use"]],
    format: share,
    ticks: shareTick,
    calm: 0.2,
  },
  {
    title: "Power",
    metrics: [["device/power_watts", "device"]],
    format: (value) => `${Math.round(value)} W`,
    calm: 0.2,
  },
];

const SCORE = "evaluation/";
// Number of charts that are shown before the first measurement, for one run and for several runs.
const ALWAYS = { one: 1, several: 1 };

function titleOf(name: string) {
  const text = name
    .replace("/", ": ")
    .replaceAll("/", ", ")
    .replace(/_bytes$/, "")
    .replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
}

function formatOf(name: string): Format {
  if (name.endsWith("_bytes")) return bytes;
  return name.endsWith("_seconds") ? seconds : short;
}

// The chart of a metric that is not in the catalogue, for example one of a later version.
function other(name: string): Kind {
  return { title: titleOf(name), metrics: [[name, "value"]], format: formatOf(name) };
}

// For one run, all shares and correlations are in one chart. Each other score, such as a
// log-probability, has its own chart, because its scale is different.
function scores(names: string[], isSeveral: boolean, isShare: (name: string) => boolean): Kind[] {
  const known = names.filter((name) => name.startsWith(SCORE)).sort();
  const axis = "words_seen" as const;
  const common = { format: share, ticks: shareTick, axis };
  const shares = known.filter(isShare);
  const rest = known.filter((name) => !isShare(name)).map((name) => ({ ...other(name), axis }));
  if (isSeveral) return [...shares.map((name) => ({ ...other(name), ...common })), ...rest];
  const metrics = shares.map((name): [string, string] => [name, name.slice(SCORE.length)]);
  const title = "Evaluation scores over words seen";
  return [...(shares.length ? [{ title, metrics, ...common }] : []), ...rest];
}

// The charts to show for the metrics `names`. If several runs are compared, each metric has its own
// chart.
export function kindsFor(
  names: string[],
  isSeveral: boolean,
  isShare: (name: string) => boolean,
): Kind[] {
  const has = new Set(names);
  const listed = new Set(KINDS.flatMap(({ metrics }) => metrics.map(([name]) => name)));
  const always = isSeveral ? ALWAYS.several : ALWAYS.one;
  let known = KINDS.filter(
    ({ metrics }, index) => index < always || metrics.some(([name]) => has.has(name)),
  );
  if (isSeveral) known = known.flatMap((kind) => apart(kind, has));
  const rest = names.filter((name) => !listed.has(name) && !name.startsWith(SCORE)).sort();
  return [...known, ...scores(names, isSeveral, isShare), ...rest.map(other)];
}

function apart(kind: Kind, has: Set<string>): Kind[] {
  return kind.metrics
    .filter(([name], index) => has.has(name) || index === 0)
    .map((metric) => ({
      ...kind,
      metrics: [metric],
      title: kind.metrics.length > 1 ? `${kind.title}: ${metric[1]}` : kind.title,
    }));
}
