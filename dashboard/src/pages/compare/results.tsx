// The results of each entry, with the differences to the baseline.

import type { ComponentChildren } from "preact";
import { colourClass } from "../../charts/plot.ts";
import { counted } from "../../lib/seeds.ts";
import { type Spread, signed, spreadOf, spreadText } from "../../lib/statistics.ts";
import { Card, Table } from "../../ui/card.tsx";
import { StatusBadge, StatusCounts } from "../../ui/status.tsx";
import type { Entry } from "./entries.ts";
import type { Result } from "./fields.ts";

// A difference counts only if it exceeds this number of standard deviations between seeds.
const NOISE_FACTOR = 2;
const SEEDS_NOTE = "Mean ± standard deviation over the seeds that have succeeded.";

interface Props {
  entries: Entry[];
  results: Result[];
  base: Entry | undefined;
  hidden: Set<string>;
  focused: string | null;
}

export function Results({ entries, results, base, hidden, focused }: Props) {
  const spreads = entries.map(({ jobs }) =>
    results.map(({ value }) => spreadOf(counted(jobs).map(value))),
  );
  const baseSpreads = base && spreads[entries.indexOf(base)];
  const rows = entries.map((entry, row) => [
    <Name key="name" entry={entry} />,
    entry === base ? "baseline" : <Status key="status" entry={entry} />,
    ...results.map((field, column) => {
      const others = spreads.map((one) => one[column]);
      const before = entry === base ? null : baseSpreads?.[column];
      return cell(field, others[row], before, others);
    }),
  ]);
  const rowClass = (index: number) => {
    const { id } = entries[index];
    return [id === focused && "focused", hidden.has(id) && "off"].filter(Boolean).join(" ");
  };
  const isMean = entries.some(({ jobs }) => jobs.length > 1);
  return (
    <Card title={base ? `Results and differences to ${base.label}` : "Results"}>
      {isMean && <p class="soft small">{SEEDS_NOTE}</p>}
      <Table
        caption="Results"
        heads={["Run", "Status", ...results.map(({ title }) => `#${title}`)]}
        rows={rows}
        keys={entries.map(({ id }) => id)}
        kind="results"
        rowClass={rowClass}
      />
    </Card>
  );
}

function Name({ entry: { label, colour, jobs } }: { entry: Entry }) {
  return (
    <span class={`swatch ${colourClass(colour)}`} title={label}>
      <span>{jobs.length > 1 ? label : <a href={`#/jobs/${jobs[0].id}`}>{label}</a>}</span>
    </span>
  );
}

function Status({ entry: { jobs } }: { entry: Entry }) {
  return jobs.length > 1 ? <StatusCounts jobs={jobs} /> : <StatusBadge job={jobs[0]} />;
}

function cell(
  field: Result,
  spread: Spread | null,
  before: Spread | null | undefined,
  all: (Spread | null)[],
): ComponentChildren {
  if (!spread) return "–";
  const shown = spreadText(spread, field.text);
  return (
    <>
      {isBest(field, spread, all) ? <b title="The best of these runs">{shown} ★</b> : shown}
      {before && <Difference field={field} spread={spread} before={before} />}
    </>
  );
}

function isBest({ better }: Result, { mean }: Spread, all: (Spread | null)[]): boolean {
  const known = all.filter((one) => one !== null).map((one) => one.mean);
  if (!better || known.length < 2) return false;
  return mean === (better === "lower" ? Math.min(...known) : Math.max(...known));
}

interface DifferenceProps {
  field: Result;
  spread: Spread;
  before: Spread;
}

function Difference({ field, spread, before }: DifferenceProps) {
  const difference = spread.mean - before.mean;
  const noise = noiseOf(spread, before);
  const isNoise = noise !== null && Math.abs(difference) <= noise;
  const isBetter = difference < 0 === (field.better === "lower");
  const isJudged = field.better && difference !== 0 && !isNoise;
  const text = (value: number) => field.text(value).replace(/ %$/, " pp"); // percentage points
  const tone = isJudged ? (isBetter ? "better" : "worse") : "";
  return (
    <span class={`second ${tone}`} title={isNoise ? "Within the noise between seeds" : undefined}>
      {signed(difference, text)}
      {isNoise && " (noise)"}
    </span>
  );
}

// Twice the pooled standard deviation, as on the page of a study; null if an entry has one seed.
function noiseOf(one: Spread, other: Spread): number | null {
  if (one.deviation === null || other.deviation === null) return null;
  const squares = (one.n - 1) * one.deviation ** 2 + (other.n - 1) * other.deviation ** 2;
  return NOISE_FACTOR * Math.sqrt(squares / (one.n + other.n - 2));
}
