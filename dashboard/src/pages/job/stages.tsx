// The stages of a job with their state and duration, and the report of the cleaning stage.

import { useEffect, useState } from "preact/hooks";
import { type Job, STAGES } from "../../api/types.ts";
import { count, exact, plural, seconds } from "../../lib/format.ts";
import { dueStages, isFinal, stageTitle } from "../../lib/jobs.ts";
import { Card, Table } from "../../ui/card.tsx";
import type { JobStore, StageState } from "./store.ts";

const TICK_MILLISECONDS = 1000;
const STARTING = { kind: "now", note: "starting" };

export function Stages({ store }: { store: JobStore }) {
  const job = store.job.value!;
  const known = store.stages.value;
  const due = dueStages(job);
  const names = STAGES.filter(
    (name) => due.includes(name) || known.has(name) || job.stage === name,
  );
  const [, setTick] = useState(0);
  const isOpen = job.status === "running";
  // A running job is between two stages while it loads the libraries of the next one.
  const isBetween = isOpen && known.get(job.stage ?? "")?.state === "finished";
  const next = names.find((name) => known.get(name)?.state !== "finished");
  useEffect(() => {
    if (!isOpen) return;
    const timer = setInterval(() => setTick((number) => number + 1), TICK_MILLISECONDS);
    return () => clearInterval(timer);
  }, [isOpen]);
  return (
    <ol class="stages" aria-label="Stages">
      {names.map((name) => {
        const isStarting = isBetween && name === next;
        const { kind, note } = isStarting ? STARTING : stateOf(job, name, known.get(name));
        return (
          <li key={name} class={kind} aria-current={kind === "now" ? "step" : undefined}>
            {stageTitle(name)}
            <small>{note || "\u00a0"}</small>
          </li>
        );
      })}
    </ol>
  );
}

function stateOf(job: Job, name: string, stage: StageState | undefined) {
  if (stage?.state === "finished") {
    return { kind: "done", note: stage.cached ? "from cache" : seconds(stage.seconds) };
  }
  const isHere = job.stage === name || (!job.stage && stage?.state === "started");
  if (isHere && job.status === "failed") return { kind: "broken", note: "failed here" };
  if (isHere && job.status === "cancelled") return { kind: "", note: "stopped here" };
  if (isHere && !isFinal(job)) {
    const since = stage ? (Date.now() - Date.parse(stage.time)) / 1000 : 0;
    return { kind: "now", note: job.status === "running" ? seconds(since) : job.status };
  }
  return { kind: "", note: "" };
}

interface Cleaned {
  words: number;
  words_in: number;
  documents: number;
  sources: Record<string, { words: number; lines: number; dropped?: Record<string, number> }>;
}

export function CorpusReport({ store }: { store: JobStore }) {
  const counts = store.stages.value.get("clean")?.counts ?? {};
  const parts = Object.entries(counts).filter(([, part]) => part?.sources) as [string, Cleaned][];
  if (!parts.length) return null;
  return (
    <Card title="Cleaning report" class="section">
      {parts.map(([part, data]) => (
        <CleanedText key={part} part={part} data={data} />
      ))}
    </Card>
  );
}

function CleanedText({ part, data }: { part: string; data: Cleaned }) {
  const title = part === "train" ? "Training" : "Validation";
  const rows = Object.entries(data.sources).map(([source, { words, lines, dropped }]) => [
    source,
    exact(words),
    exact(lines),
    Object.entries(dropped ?? {})
      .sort((a, b) => b[1] - a[1])
      .map(([rule, number]) => `${rule.replaceAll("_", " ")} ${count(number)}`)
      .join(", ") || "nothing",
  ]);
  return (
    <>
      <p>
        {title} text: {exact(data.words)} of {exact(data.words_in)} words kept, in{" "}
        {plural(data.documents, "document")}.
      </p>
      <details>
        <summary>By source</summary>
        <Table
          caption={`Sources of the ${part} text`}
          heads={["Source", "#Words", "#Lines", "Changed and dropped"]}
          rows={rows}
        />
      </details>
    </>
  );
}
