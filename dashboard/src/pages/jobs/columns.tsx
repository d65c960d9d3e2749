// The columns of the list of jobs: the value that each column shows and sorts by.

import type { ComponentChildren } from "preact";
import type { Job } from "../../api/types.ts";
import {
  ago,
  bytes,
  count,
  fixed,
  type Maybe,
  percent,
  score,
  seconds,
  sentence,
  short,
} from "../../lib/format.ts";
import {
  activity,
  architectureOf,
  duration,
  isTokenizer,
  memoryOf,
  olderStepOf,
  timeLeft,
  valuesOf,
} from "../../lib/jobs.ts";
import { counted, seedOf } from "../../lib/seeds.ts";
import { type Spread, spreadOf } from "../../lib/statistics.ts";
import { Sparkline } from "../../ui/sparkline.tsx";
import { ProgressBar, StatusBadge } from "../../ui/status.tsx";

export interface Column {
  key: string;
  title: string;
  // The name by which the service sorts the jobs.
  sort: string;
  kind?: string;
  isNumber?: boolean;
  value: (job: Job) => string | number | null | undefined;
  show: (job: Job, curve: (number | null)[]) => ComponentChildren;
  // The text of a mean. Columns without this function show no mean for a group of seeds.
  text?: (value: number) => string;
  // Whether the mean includes jobs that have not succeeded.
  isOfAll?: boolean;
}

function metric(key: string, title: string, name: string, text: (value: number) => string): Column {
  return {
    key,
    title,
    sort: name,
    isNumber: true,
    text,
    value: (job) => valuesOf(job)[name],
    show: (job) => {
      const value = valuesOf(job)[name];
      if (value === undefined || value === null) return "";
      const older = olderStepOf(job, name);
      return (
        <>
          {text(value)}
          {older !== null && <span class="second">at step {count(older)}</span>}
        </>
      );
    },
  };
}

function Activity({ job }: { job: Job }) {
  const steps = job.max_steps ? `${count(job.step)} / ${count(job.max_steps)}` : count(job.step);
  const parts = [activity(job), job.status !== "failed" && job.step !== null && `step ${steps}`];
  const line = parts.filter(Boolean).join(" · ");
  const isPart = job.progress > 0 && job.progress < 1;
  return (
    <>
      <div class="bar">
        <span class={job.status === "failed" ? "bad" : "soft"} title={line}>
          {job.status === "failed" ? sentence(line) : line}
        </span>
        <span class="soft nowrap" title="Over all stages">
          {isPart ? percent(job.progress) : ""}
        </span>
      </div>
      <ProgressBar job={job} />
    </>
  );
}

function Loss({ job, curve }: { job: Job; curve: (number | null)[] }) {
  const values = valuesOf(job);
  const loss = values["train/loss"];
  const validation = values["validation/loss"];
  const older = olderStepOf(job, "validation/loss");
  if (loss === undefined) return null;
  return (
    <div>
      {curve.length > 1 && <Sparkline values={curve} label={`Training loss, now ${fixed(loss)}`} />}
      <div>
        <b>{fixed(loss)}</b>
        {validation !== undefined && (
          <span class="second">
            val. {fixed(validation)}
            {older !== null && ` at step ${count(older)}`}
          </span>
        )}
      </div>
    </div>
  );
}

function Time({ job }: { job: Job }) {
  const left = timeLeft(job);
  return (
    <>
      {left ? `${left} left` : job.finished_at && job.started_at ? seconds(duration(job)) : ""}
      <span class="second">{ago(job.finished_at ?? job.started_at ?? job.created_at)}</span>
    </>
  );
}

export const COLUMNS: Column[] = [
  {
    key: "status",
    title: "Status",
    sort: "status",
    kind: "state",
    value: (job) => job.status,
    show: (job) => <StatusBadge job={job} />,
  },
  {
    key: "progress",
    title: "Progress",
    sort: "progress",
    kind: "going",
    text: (value) => percent(value),
    isOfAll: true,
    value: (job) => job.progress,
    show: (job) => <Activity job={job} />,
  },
  {
    key: "loss",
    title: "Loss",
    sort: "train/loss",
    kind: "curve",
    text: (value) => fixed(value),
    value: (job) => valuesOf(job)["train/loss"],
    show: (job, curve) => <Loss job={job} curve={curve} />,
  },
  metric("validation", "Validation loss", "validation/loss", (value) => fixed(value)),
  metric("perplexity", "Perplexity", "validation/perplexity", (value) => short(value)),
  metric("speed", "Speed", "throughput/tokens_per_second", (value) => `${count(value)} tokens/s`),
  metric("mfu", "MFU", "throughput/mfu", (value) => percent(value)),
  {
    key: "memory",
    title: "Memory",
    sort: "memory",
    text: (value) => bytes(value),
    isNumber: true,
    value: memoryOf,
    show: (job) => (memoryOf(job) ? bytes(memoryOf(job)) : ""),
  },
  {
    key: "seed",
    title: "Seed",
    sort: "seed",
    isNumber: true,
    value: seedOf,
    show: (job) => (isTokenizer(job) ? "" : seedOf(job)),
  },
  {
    key: "rate",
    title: "Learning rate",
    sort: "learning_rate",
    isNumber: true,
    value: (job) => job.spec.training?.learning_rate,
    show: (job) => (isTokenizer(job) ? "" : short(job.spec.training?.learning_rate)),
  },
  {
    key: "words",
    title: "Words seen",
    sort: "words_seen",
    text: (value) => count(value),
    isNumber: true,
    value: (job) => job.metrics?.words_seen,
    show: (job) => (job.metrics?.words_seen ? count(job.metrics.words_seen) : ""),
  },
  {
    key: "architecture",
    title: "Architecture",
    sort: "architecture",
    value: architectureOf,
    show: architectureOf,
  },
  {
    key: "dataset",
    title: "Dataset",
    sort: "dataset",
    value: (job) => job.spec.data?.dataset,
    show: (job) => job.spec.data?.dataset,
  },
  {
    key: "time",
    title: "Time",
    sort: "time",
    kind: "time",
    isNumber: true,
    value: (job) => Date.parse(job.finished_at ?? job.started_at ?? job.created_at),
    show: (job) => <Time job={job} />,
  },
];

const DEFAULT_COLUMNS = ["status", "progress", "loss", "speed", "memory", "time"];
const RESULT_COLUMNS = ["status", "progress", "loss", "seed", "time"];
const DEFAULT_SCORES = 2;

// The columns that the list shows until the user chooses others. If jobs have scores, the first of
// them and the seed take the place of speed and memory, so that the table fits a small window.
export function defaultColumns(jobs: Job[]): string[] {
  const scores = scoresOf(jobs).slice(0, DEFAULT_SCORES);
  return scores.length ? [...RESULT_COLUMNS, ...scores] : DEFAULT_COLUMNS;
}

function scoresOf(jobs: Job[]): string[] {
  const names = new Set(jobs.flatMap((job) => Object.keys(valuesOf(job))));
  return [...names].filter((name) => name.startsWith("evaluation/")).sort();
}

// All columns, with one for each evaluation that some job has.
export function columnsOf(jobs: Job[]): Column[] {
  const last = COLUMNS.length - 1;
  return [
    ...COLUMNS.slice(0, last),
    ...scoresOf(jobs).map((name) => metric(name, name.slice("evaluation/".length), name, score)),
    COLUMNS[last],
  ];
}

// Mean and deviation of the numbers in a column, over the jobs of a group of seeds.
export function groupSpread({ value, isOfAll }: Column, jobs: Job[]): Spread | null {
  return spreadOf((isOfAll ? jobs : counted(jobs)).map((job) => value(job) as Maybe));
}

export function cellClass({ kind, key, isNumber }: Column) {
  return [isNumber && "number", kind ?? (isNumber && key)].filter(Boolean).join(" ");
}

// The title that a phone shows in the cell, because it shows no heads of columns.
export function labelOf({ kind, title }: Column) {
  return kind ? undefined : title;
}
