// Where the specs differ, from each other or from the baseline.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { shownValue } from "../../lib/schema.ts";
import { Card, Table } from "../../ui/card.tsx";
import type { Entry } from "./entries.ts";
import { differingPaths, optionsOf } from "./fields.ts";

interface Props {
  entries: Entry[];
  base: Entry | undefined;
}

export function Specs({ entries, base }: Props) {
  const [isAll, setAll] = useState(false);
  const runs = entries.flatMap(({ jobs }) => jobs);
  const differing = differingPaths(runs);
  const paths = isAll
    ? [...new Set(runs.flatMap((job) => Object.keys(optionsOf(job))))]
    : differing;
  const columns = base ? [base, ...entries.filter((entry) => entry !== base)] : entries;
  const rows = paths.map((path) => [
    <code key="path">{path}</code>,
    ...columns.map((entry) => cell(entry, path, base)),
  ]);
  return (
    <Card
      title={isAll ? "Specs" : "Where the specs differ"}
      actions={
        <button type="button" onClick={() => setAll(!isAll)}>
          {isAll ? "Differences only" : "All options"}
        </button>
      }
    >
      <Table
        caption="Specs"
        heads={["Option", ...columns.map((entry) => headOf(entry, base))]}
        rows={rows}
        keys={paths}
        rowClass={(index) => (isAll && differing.includes(paths[index]) ? "differs" : undefined)}
        empty={runs.length > 1 ? "The specs are identical." : "Add a second run to compare."}
      />
    </Card>
  );
}

function headOf(entry: Entry, base: Entry | undefined) {
  return entry === base ? `${entry.label} (baseline)` : entry.label;
}

// The values of an option in the jobs of an entry; bold if they differ from the baseline.
function cell(entry: Entry, path: string, base: Entry | undefined): ComponentChildren {
  const text = textOf(entry, path);
  if (!base || entry === base) return text;
  return text === textOf(base, path) ? <span class="soft">{text}</span> : <b>{text}</b>;
}

function textOf({ jobs }: Entry, path: string): string {
  const values = jobs.map((job) => shownValue(optionsOf(job)[path]) || "–");
  return [...new Set(values)].sort().join(", ");
}
