// The results of each run, as values or as differences to a baseline.

import type { ComponentChildren } from "preact";
import type { Job } from "../../api/types.ts";
import { bytes, count, fixed, score, seconds, short } from "../../lib/format.ts";
import { duration, memoryOf, valuesOf } from "../../lib/jobs.ts";
import { setParameters } from "../../router.ts";
import { Card, Table } from "../../ui/card.tsx";
import { StatusBadge } from "../../ui/status.tsx";
import type { CompareStore } from "./store.ts";

const SCORE = "evaluation/";

interface Column {
  head: string;
  value: (job: Job) => number | null | undefined;
  text: (value: number) => string;
  better?: "lower" | "higher";
}

interface Props {
  runs: Job[];
  store: CompareStore;
  baseline: string | null;
}

function columnsOf(runs: Job[], store: CompareStore): Column[] {
  const names = runs.flatMap((job) => Object.keys(valuesOf(job)));
  const scores = [...new Set(names.filter((name) => name.startsWith(SCORE)))].sort();
  const metric = (name: string) => (job: Job) => valuesOf(job)[name];
  const lower = "lower" as const;
  return [
    {
      head: "#Lowest validation loss",
      value: (job) => store.seriesOf(job.id).lowest("validation/loss"),
      text: (value) => fixed(value),
      better: lower,
    },
    { head: "#Validation loss", value: metric("validation/loss"), text: (v) => fixed(v) },
    { head: "#Perplexity", value: metric("validation/perplexity"), text: short },
    { head: "#Bits per byte", value: metric("validation/bits_per_byte"), text: (v) => fixed(v) },
    { head: "#Training loss", value: metric("train/loss"), text: (value) => fixed(value) },
    ...scores.map(
      (name): Column => ({
        head: `#${name.slice(SCORE.length)}`,
        value: metric(name),
        text: score,
        better: "higher",
      }),
    ),
    { head: "#Words seen", value: (job) => job.metrics?.words_seen, text: count },
    { head: "#Steps", value: (job) => job.step, text: count },
    { head: "#Tokens/s", value: metric("throughput/tokens_per_second"), text: count },
    { head: "#Memory", value: memoryOf, text: bytes },
    { head: "#Duration", value: duration, text: seconds },
  ];
}

export function Results({ runs, store, baseline }: Props) {
  const columns = columnsOf(runs, store);
  const base = runs.find(({ id }) => id === baseline);
  const rows = runs.map((job) => [
    <a key="name" href={`#/jobs/${job.id}`}>
      {store.labelOf(job)}
    </a>,
    <StatusBadge key="status" job={job} />,
    ...columns.map((column) => cell(column, job, runs, base)),
  ]);
  return (
    <Card title="Results" actions={runs.length > 1 && <Baseline {...{ runs, store, baseline }} />}>
      <Table
        caption="Results"
        heads={["Run", "Status", ...columns.map(({ head }) => head)]}
        rows={rows}
        keys={runs.map(({ id }) => id)}
      />
    </Card>
  );
}

function Baseline({ runs, store, baseline }: Props) {
  return (
    <label class="inline">
      Differences to
      <select
        value={baseline ?? ""}
        onChange={(event) => setParameters({ baseline: event.currentTarget.value })}
      >
        <option value="">no run (values)</option>
        {runs.map((job) => (
          <option key={job.id} value={job.id}>
            {store.labelOf(job)}
          </option>
        ))}
      </select>
    </label>
  );
}

function cell(column: Column, job: Job, runs: Job[], base: Job | undefined): ComponentChildren {
  const value = column.value(job);
  if (value === null || value === undefined) return "–";
  const before = base && base !== job ? column.value(base) : null;
  if (before !== null && before !== undefined) {
    const difference = value - before;
    const sign = difference > 0 ? "+" : "−";
    return difference === 0 ? "±0" : `${sign}${column.text(Math.abs(difference))}`;
  }
  const text = column.text(value);
  if (!column.better || runs.length < 2 || base) return text;
  const known = runs.map(column.value).filter((one) => one !== null && one !== undefined);
  const best = column.better === "lower" ? Math.min(...known) : Math.max(...known);
  return value === best ? <b title="The best of these runs">{text} ★</b> : text;
}
