// Name, status, and the actions that the status allows, the primary action first.

import { useState } from "preact/hooks";
import { download } from "../../api/client.ts";
import type { Job } from "../../api/types.ts";
import { percent, when } from "../../lib/format.ts";
import {
  type Action,
  activity,
  architectureOf,
  askName,
  askNotes,
  askTags,
  confirmCancel,
  erase,
  isFinal,
  isTokenizer,
  type Labels,
} from "../../lib/jobs.ts";
import { notified, notifyAbout } from "../../lib/notify.ts";
import { repeatJob } from "../../lib/studies.ts";
import { navigate, setParameters } from "../../router.ts";
import { Button, guarded, Menu } from "../../ui/controls.tsx";
import { say } from "../../ui/dialog.tsx";
import { StatusBadge, Tags } from "../../ui/status.tsx";
import type { JobStore } from "./store.ts";

export function Header({ store }: { store: JobStore }) {
  const job = store.job.value!;
  return (
    <div class="page-head">
      <div>
        <h1>{job.name}</h1>
        <p class="bar facts">
          <StatusBadge job={job} />
          {job.waiting_for && <span>{activity(job)}</span>}
          <span>
            {architectureOf(job)} on {job.spec.data.dataset}
          </span>
          <span>submitted {when(job.created_at)}</span>
          {job.worker && job.status === "running" && <span>on {job.worker}</span>}
          {job.archived && <span>archived</span>}
          <Tags job={job} />
        </p>
        {job.notes && <p class="notes">{job.notes}</p>}
      </div>
      <div class="bar actions">
        <Primary store={store} job={job} />
        <More store={store} job={job} />
      </div>
    </div>
  );
}

function Primary({ store, job }: { store: JobStore; job: Job }) {
  const hasCheckpoint = Boolean(store.checkpoints.value?.length);
  if (isTokenizer(job) && job.status === "succeeded") {
    return (
      <a class="button primary" href={`#/tokenizers/${job.id}`}>
        Try the tokenizer
      </a>
    );
  }
  switch (job.status) {
    case "succeeded":
      return hasCheckpoint ? <ResultActions store={store} /> : null;
    case "failed":
    case "cancelled":
      return <ActionButton store={store} action="retry" kind="primary" />;
    case "paused":
      return (
        <>
          <ActionButton store={store} action="resume" kind="primary" />
          <ActionButton store={store} action="cancel" />
        </>
      );
    default:
      return (
        <>
          <ActionButton store={store} action="pause" />
          <ActionButton store={store} action="cancel" />
        </>
      );
  }
}

function ActionButton({ store, action, kind }: { store: JobStore; action: Action; kind?: string }) {
  const job = store.job.value!;
  const isRunning = job.status === "running";
  const isAsked =
    isRunning && Boolean(job.cancel_requested_at || (action === "pause" && job.pause_requested_at));
  const press = async () => {
    if (action === "cancel" && !(await confirmCancel([job]))) return;
    await store.act(action);
  };
  return (
    <Button class={kind} disabled={isAsked} act={press}>
      {action[0].toUpperCase() + action.slice(1)}
    </Button>
  );
}

// The checkpoint that a user most likely wants: the best by validation, or else the last.
export function bestCheckpoint(store: JobStore) {
  const all = store.checkpoints.value ?? [];
  const named = (name: string) => all.find((one) => one.name === name || one.kind === name);
  return named("best") ?? named("last") ?? all[0];
}

function ResultActions({ store }: { store: JobStore }) {
  const [received, setReceived] = useState<number | null>(null);
  const point = bestCheckpoint(store);
  const save = async () => {
    const path = `${store.path}/checkpoints/${point.name}/archive`;
    try {
      await download(path, `${store.id.slice(0, 8)}-${point.name}.zip`, setReceived);
    } finally {
      setReceived(null);
    }
  };
  const show = (section: string) => setParameters({ section });
  const share = received === null ? null : percent(Math.min(1, received / point.bytes));
  return (
    <>
      <Button class="primary" act={save} title={`The checkpoint “${point.name}”`}>
        {share ?? "Download model"}
      </Button>
      <button type="button" onClick={() => show("samples")}>
        Try it
      </button>
      <button type="button" onClick={() => show("evaluation")}>
        Evaluate
      </button>
    </>
  );
}

function LabelItems({ store, job }: { store: JobStore; job: Job }) {
  const item = (text: string, labels: () => Labels | null | Promise<Labels | null>) => (
    <button type="button" onClick={() => guarded(async () => store.label(await labels()))}>
      {text}
    </button>
  );
  return (
    <>
      {item("Rename", () => askName(job))}
      {item("Tags", () => askTags(job))}
      {item("Notes", () => askNotes(job))}
      {item(job.pinned ? "Unpin" : "Pin", () => ({ pinned: !job.pinned }))}
      {item(job.archived ? "Restore from the archive" : "Archive", () => ({
        archived: !job.archived,
      }))}
    </>
  );
}

function More({ store, job }: { store: JobStore; job: Job }) {
  const repeat = async () => {
    const study = await repeatJob(job);
    if (study) navigate(`#/studies/${study.id}`);
  };
  const notify = async () => {
    if (await notifyAbout(job.id)) return;
    await say("Notifications are blocked", "Allow notifications for this site in the browser.");
  };
  return (
    <Menu label="⋯" name="More actions">
      <a href={`#/new/${store.id}`}>New job like this</a>
      {!isTokenizer(job) && (
        <button type="button" onClick={() => guarded(repeat)}>
          Repeat with N seeds
        </button>
      )}
      {!isTokenizer(job) && <a href={`#/compare?jobs=${store.id}`}>Compare</a>}
      <LabelItems store={store} job={job} />
      <button type="button" onClick={() => navigator.clipboard?.writeText(job.id)}>
        Copy the id
      </button>
      {!isFinal(job) && (
        <button type="button" onClick={() => guarded(notify)}>
          {notified.value.has(job.id) ? "You will be notified" : "Notify me when it ends"}
        </button>
      )}
      {isFinal(job) && (
        <button type="button" class="danger" onClick={() => guarded(() => erase([job], "#/"))}>
          Delete
        </button>
      )}
    </Menu>
  );
}
