// The row of jobs that differ only in their seed: means and deviations over the seeds.

import type { ComponentChildren } from "preact";
import type { Job } from "../../api/types.ts";
import { ago, fixed, percent, plural } from "../../lib/format.ts";
import { architectureOf, valuesOf } from "../../lib/jobs.ts";
import { counted, type SeedGroup, seedOf } from "../../lib/seeds.ts";
import { type Spread, spreadOf, spreadText } from "../../lib/statistics.ts";
import { StatusCounts } from "../../ui/status.tsx";
import { type Column, cellClass, groupSpread, labelOf } from "./columns.tsx";
import type { JobList } from "./store.ts";

const MOST_SEEDS = 6;
// Maximum length of a mean with its deviation on one line.
const LONG_TEXT = 16;
const NOTE = "Mean ± standard deviation over the jobs that have succeeded";
const ALL_NOTE = "Mean of all jobs of the group";

interface Props {
  list: JobList;
  group: SeedGroup;
  columns: Column[];
  isOpen: boolean;
  toggle: () => void;
}

export function GroupRow({ list, group, columns, isOpen, toggle }: Props) {
  const { jobs, name } = group;
  const chosen = list.chosen.value;
  const isChosen = jobs.every(({ id }) => chosen.has(id));
  const about = [plural(jobs.length, "seed"), architectureOf(jobs[0]), jobs[0].spec.data?.dataset];
  const press = (click: MouseEvent) => {
    if (!(click.target as Element).closest("a, input, button, label")) toggle();
  };
  return (
    <tr class="seeds" aria-selected={isChosen ? "true" : undefined} onClick={press}>
      <td>
        <label class="box">
          <input
            type="checkbox"
            aria-label={`Select all seeds of ${name}`}
            checked={isChosen}
            onChange={() => list.choose(jobs, !isChosen)}
          />
        </label>
      </td>
      <th scope="row" class="name">
        <button type="button" class="unfold" aria-expanded={isOpen} title={name} onClick={toggle}>
          <span class="mark" aria-hidden="true" />
          <span class="label">{name}</span>
        </button>
        <span>{about.filter(Boolean).join(" · ")}</span>
      </th>
      {columns.map((column) => (
        <td
          key={column.key}
          class={cellClass(column)}
          title={column.text && (column.isOfAll ? ALL_NOTE : NOTE)}
          data-label={labelOf(column)}
        >
          {groupCell(column, jobs)}
        </td>
      ))}
    </tr>
  );
}

const CELLS: Record<string, (jobs: Job[]) => ComponentChildren> = {
  status: (jobs) => <StatusCounts jobs={jobs} />,
  progress: (jobs) => <Progress jobs={jobs} />,
  loss: (jobs) => <Loss jobs={jobs} />,
  seed: seedsText,
  time: (jobs) => {
    const times = jobs.map((job) => job.finished_at ?? job.started_at ?? job.created_at);
    return <span class="second">{ago(times.sort().at(-1))}</span>;
  },
};

function groupCell(column: Column, jobs: Job[]): ComponentChildren {
  const special = CELLS[column.key];
  if (special) return special(jobs);
  if (!column.text) return [...new Set(jobs.map((job) => column.show(job, [])))].join(", ");
  return <Mean spread={groupSpread(column, jobs)} jobs={jobs} text={column.text} />;
}

interface MeanProps {
  spread: Spread | null;
  jobs: Job[];
  text: (value: number) => string;
}

function Mean({ spread, jobs, text }: MeanProps) {
  if (!spread) return null;
  const shown = spreadText(spread, text);
  const isLong = shown.length > LONG_TEXT;
  const deviation = isLong && shown.split(" ± ")[1]?.replace(/ \D+$/, "");
  const seconds = [
    deviation && `± ${deviation}`,
    spread.n < jobs.length && `${spread.n} of ${jobs.length} seeds`,
  ].filter(Boolean);
  return (
    <>
      {isLong ? text(spread.mean) : shown}
      {seconds.map((line) => (
        <span key={line} class="second">
          {line}
        </span>
      ))}
    </>
  );
}

function Progress({ jobs }: { jobs: Job[] }) {
  const { mean } = spreadOf(jobs.map(({ progress }) => progress))!;
  const isDone = jobs.every(({ status }) => status === "succeeded");
  return (
    <>
      <div class="bar">
        <span class="soft">{isDone ? "" : "mean of the seeds"}</span>
        <span class="soft nowrap">{mean < 1 ? percent(mean) : ""}</span>
      </div>
      <progress
        class={isDone ? "succeeded" : ""}
        max={1}
        value={mean}
        aria-label="Mean progress of the seeds"
      />
    </>
  );
}

function Loss({ jobs }: { jobs: Job[] }) {
  const text = (value: number) => fixed(value);
  const spread = (name: string) => spreadOf(counted(jobs).map((job) => valuesOf(job)[name]));
  const [loss, validation] = ["train/loss", "validation/loss"].map(spread);
  if (!loss) return null;
  return (
    <div>
      <div>
        <b>{spreadText(loss, text)}</b>
        {validation && <span class="second">val. {spreadText(validation, text)}</span>}
      </div>
    </div>
  );
}

function seedsText(jobs: Job[]): string {
  const seeds = jobs.map(seedOf).filter((seed) => seed !== undefined);
  const shown = seeds.sort((a, b) => a - b).slice(0, MOST_SEEDS);
  return shown.join(", ") + (seeds.length > shown.length ? ", …" : "");
}
