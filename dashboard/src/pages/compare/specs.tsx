// Where the specs of the runs differ.

import { useState } from "preact/hooks";
import type { Job } from "../../api/types.ts";
import { leaves } from "../../lib/jobs.ts";
import { shownValue } from "../../lib/schema.ts";
import { Card, Table } from "../../ui/card.tsx";
import type { CompareStore } from "./store.ts";

const HEADED = ["name"]; // the head of the column shows it

export function Specs({ runs, store }: { runs: Job[]; store: CompareStore }) {
  const [isAll, setAll] = useState(false);
  const flat = runs.map((job) => leaves(job.spec));
  const paths = [...new Set(flat.flatMap(Object.keys))].filter((path) => !HEADED.includes(path));
  const differs = (path: string) =>
    new Set(flat.map((spec) => JSON.stringify(spec[path] ?? null))).size > 1;
  const shown = isAll ? paths : paths.filter(differs);
  const rows = shown.map((path) => [
    <code key="path">{path}</code>,
    ...flat.map((spec) => shownValue(spec[path]) || "–"),
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
        heads={["Option", ...runs.map((job) => store.labelOf(job))]}
        rows={rows}
        keys={shown}
        rowClass={(index) => (isAll && differs(shown[index]) ? "differs" : undefined)}
        empty={runs.length > 1 ? "The specs are identical." : "Add a second run to compare."}
      />
    </Card>
  );
}
