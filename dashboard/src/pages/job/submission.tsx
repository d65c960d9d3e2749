// The submission of a job to the BabyLM challenge: the rules, building it, and its download.

import { useState } from "preact/hooks";
import { download, get, post } from "../../api/client.ts";
import { wait } from "../../api/stream.ts";
import type { Ledger, Submission } from "../../api/types.ts";
import { plural, when } from "../../lib/format.ts";
import { isFinal } from "../../lib/jobs.ts";
import { Card } from "../../ui/card.tsx";
import { Button } from "../../ui/controls.tsx";
import { Marked } from "../../ui/marks.tsx";
import { useTask } from "../../ui/page.tsx";
import type { JobStore } from "./store.ts";
import { Report, Rules } from "./submission_report.tsx";

const LOOK_MILLISECONDS = 2000;

export function SubmissionCard({ store }: { store: JobStore }) {
  const job = store.job.value!;
  const [found, setFound] = useState<Submission | null>(null);
  const [ledger, setLedger] = useState<Ledger | null>(null);
  const [asked, setAsked] = useState(0);
  const { error } = useTask(
    async (signal) => {
      setLedger(await get<Ledger>(`${store.path}/budget`, signal));
      for (;;) {
        const path = `${store.path}/submissions`;
        const [newest] = (await get<{ data: Submission[] }>(path, signal)).data;
        setFound(newest ?? null);
        if (!newest || isFinal(newest)) return;
        await wait(LOOK_MILLISECONDS, signal);
      }
    },
    [store.id, job.status, asked],
  );
  const isBuilding = found !== null && !isFinal(found);
  return (
    <Card title="Submission to the BabyLM challenge" id="submission" class="section">
      {error && <p class="notice error">{error.message}</p>}
      {ledger && <Rules ledger={ledger} />}
      {isBuilding ? (
        <Building found={found} />
      ) : (
        <BuildForm store={store} before={found} onAsked={() => setAsked(asked + 1)} />
      )}
      {found?.status === "failed" && <Failed found={found} />}
      {found?.status === "succeeded" && <Result store={store} found={found} />}
    </Card>
  );
}

interface FormProps {
  store: JobStore;
  before: Submission | null;
  onAsked: () => void;
}

function BuildForm({ store, before, onAsked }: FormProps) {
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState("");
  const points = store.checkpoints.value ?? [];
  if (!points.length) {
    return <p class="soft">You can build a submission as soon as the job has a checkpoint.</p>;
  }
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    setFault("");
    try {
      await post(`${store.path}/submission`, {
        repository: String(form.get("repository")).trim(),
        checkpoint: String(form.get("checkpoint")),
        evaluate: form.get("evaluate") !== null,
      });
      onAsked();
    } catch (error) {
      setFault((error as Error).message);
    }
    setBusy(false);
  };
  return (
    <form class="task submission" onSubmit={submit}>
      <label>
        Name on the Hugging Face Hub
        <input
          type="text"
          name="repository"
          required
          placeholder="USER/NAME"
          autocomplete="off"
          spellcheck={false}
          defaultValue={before?.repository}
        />
      </label>
      <FinalModel store={store} before={before} />
      <label class="inline">
        <input type="checkbox" name="evaluate" defaultChecked />
        Run the missing evaluations first
      </label>
      <button type="submit" class="primary" disabled={isBusy}>
        Build submission
      </button>
      {fault && (
        <p class="notice error" role="alert">
          {fault}
        </p>
      )}
    </form>
  );
}

function FinalModel({ store, before }: { store: JobStore; before: Submission | null }) {
  const points = store.checkpoints.value ?? [];
  const last = points.find(({ kind }) => kind === "last") ?? points[0];
  return (
    <label>
      Final model
      <select name="checkpoint">
        {points.map(({ name }) => (
          <option key={name} value={name} selected={name === (before?.checkpoint ?? last.name)}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function Building({ found }: { found: Submission }) {
  const left = found.unfinished_evaluations;
  const text = left
    ? `${plural(left, "evaluation")} left, then every milestone is checked.`
    : "Every milestone is checked, then the folder is written.";
  return (
    <div role="status">
      <p>
        The service builds the submission <b>{found.repository}</b>. {text}
      </p>
      <progress
        max={1}
        value={left ? undefined : found.progress}
        aria-label="Building the submission"
      />
    </div>
  );
}

function Failed({ found }: { found: Submission }) {
  return (
    <div class="notice error" role="alert">
      <b>The check failed, so there is no new submission</b>
      <p>
        <Marked>{found.error?.message}</Marked>
      </p>
      {found.error?.hint && (
        <p>
          <Marked>{found.error.hint}</Marked>
        </p>
      )}
    </div>
  );
}

function Result({ store, found }: { store: JobStore; found: Submission }) {
  const report = found.report!;
  const save = () =>
    download(`${store.path}/submission/archive`, `${found.repository.split("/")[1]}.tar`);
  return (
    <>
      <div class="bar spread">
        <p class={report.complete ? "ready" : "lacking"}>
          {report.complete ? "Complete" : "Not complete"}: {found.repository}, built{" "}
          {when(found.finished_at)}
        </p>
        <Button act={save}>Download submission</Button>
      </div>
      <Report report={report} />
    </>
  );
}
