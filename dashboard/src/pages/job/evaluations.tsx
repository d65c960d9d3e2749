// Evaluations of the checkpoints, and a form that starts one.

import { useState } from "preact/hooks";
import type { Evaluation, EvaluationTask } from "../../api/types.ts";
import { count, exact, percent, plural, seconds } from "../../lib/format.ts";
import { isFinal } from "../../lib/jobs.ts";
import { Card, Table } from "../../ui/card.tsx";
import { bestCheckpoint } from "./header.tsx";
import { EvaluationDetails, metricText, scoreText } from "./results.tsx";
import type { JobStore } from "./store.ts";

export function Evaluations({ store }: { store: JobStore }) {
  const hasTasks = store.evaluations.tasks.value.length > 0;
  const canEvaluate = hasTasks && Boolean(store.checkpoints.value?.length);
  const rows = [...store.evaluations.value].reverse();
  return (
    <Card title="Evaluation" id="evaluation" class="section">
      {canEvaluate && <EvaluateForm store={store} />}
      <Table
        caption="Evaluations, newest first"
        heads={["Task", "Checkpoint", "#Words seen", "#Score", "#Chance", "#Items", "#Duration"]}
        rows={[...rows.map(cellsOf), ...ownScores(store)]}
        empty={emptyText(store, hasTasks)}
      />
      {rows.map((row) => (
        <EvaluationDetails key={row.id} row={row} />
      ))}
    </Card>
  );
}

function emptyText(store: JobStore, hasTasks: boolean) {
  const job = store.job.value!;
  if (!hasTasks) {
    return (
      <>
        There are no evaluation tasks. <a href="#/evaluations">Add the files of a task</a>, for
        example of BLiMP, or add the minimal pairs of the sample text.
      </>
    );
  }
  if (isFinal(job) && !store.checkpoints.value?.length) {
    return "Nothing to evaluate: the job ended before it saved a checkpoint.";
  }
  return (
    <>
      No evaluations yet. Tasks in <code>evaluation.tasks</code> of the spec run at the end of the
      job.
    </>
  );
}

function EvaluateForm({ store }: { store: JobStore }) {
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState("");
  const preferred = bestCheckpoint(store)?.name;
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    setFault("");
    try {
      const [checkpoint, task] = [String(form.get("checkpoint")), String(form.get("task"))];
      const kind = store.evaluations.tasks.value.find(({ name }) => name === task)?.kind;
      if (kind === "classification") {
        location.hash = `#/jobs/${await store.finetune(checkpoint, task)}`;
      } else await store.evaluations.start(checkpoint, task);
    } catch (error) {
      setFault((error as Error).message);
    }
    setBusy(false);
  };
  return (
    <form class="task" onSubmit={submit}>
      <TaskSelect tasks={store.evaluations.tasks.value} />
      <label>
        Checkpoint
        <select name="checkpoint">
          {(store.checkpoints.value ?? []).map(({ name }) => (
            <option key={name} value={name} selected={name === preferred}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <button type="submit" class="primary" disabled={isBusy}>
        Evaluate
      </button>
      {fault && (
        <p class="notice error" role="alert">
          {fault}
        </p>
      )}
    </form>
  );
}

function TaskSelect({ tasks }: { tasks: EvaluationTask[] }) {
  return (
    <label>
      Task
      <select name="task">
        {tasks.map((task) => (
          <option
            key={task.name}
            value={task.name}
            disabled={task.error !== null}
            title={task.error ?? undefined}
          >
            {task.name} ({taskText(task)})
          </option>
        ))}
      </select>
    </label>
  );
}

function taskText({ kind, paradigms, tasks, error }: EvaluationTask) {
  if (error) return "cannot be read";
  if (kind === "classification") return `fine-tuning on ${tasks.join(", ")}: a job of its own`;
  return `${kindText(kind)}, ${plural(paradigms, "file")}`;
}

function cellsOf(row: Evaluation) {
  return [
    row.task,
    row.checkpoint,
    count(row.words_seen),
    <Score key="score" row={row} />,
    row.chance ? percent(row.chance, 0) : "–",
    row.pairs === null ? "–" : exact(row.pairs),
    seconds(row.seconds),
  ];
}

function Score({ row }: { row: Evaluation }) {
  if (row.status === "failed") {
    return (
      <span class="bad" title={row.error?.hint}>
        {row.error?.message ?? "failed"}
      </span>
    );
  }
  if (row.score !== null) {
    return <b title={metricText(row.metric)}>{scoreText(row.score, row.metric)}</b>;
  }
  const value = row.status === "running" ? row.progress : 0;
  return <progress max={1} value={value} aria-label={`${row.task} on ${row.checkpoint}`} />;
}

// Rows for the scores that the run measured itself. A score has no row here if an evaluation of the
// same task and checkpoint has one.
function ownScores(store: JobStore) {
  const rows = new Set(
    store.evaluations.value.map(({ task, checkpoint }) => `${task} ${checkpoint}`),
  );
  return [...store.scores.value.values()]
    .map(({ data }) => data)
    .filter(({ task, checkpoint }) => !rows.has(`${task} ${checkpoint}`))
    .reverse()
    .map(({ task, checkpoint, step, scores, result }) => [
      task,
      checkpoint ?? `step ${count(step)}`,
      count(wordsAt(store, step)),
      <b key="score" title={metricText(result?.metric ?? null)}>
        {scoreText(scores.score ?? Object.values(scores)[0], result?.metric ?? null)}
      </b>,
      result?.chance ? percent(result.chance, 0) : "–",
      exact(result?.pairs),
      seconds(result?.seconds),
    ]);
}

function wordsAt(store: JobStore, step: number | null) {
  return step === null ? null : store.series.at(step, "step")?.words;
}

function kindText(kind: string | null) {
  return (kind ?? "unknown kind").replaceAll("_", " ");
}
