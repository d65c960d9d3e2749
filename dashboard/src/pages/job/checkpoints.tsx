// The checkpoints of a job, with links that download a checkpoint or one of its files.

import { useState } from "preact/hooks";
import { download } from "../../api/client.ts";
import type { Checkpoint } from "../../api/types.ts";
import { bytes, count, fixed, percent, when } from "../../lib/format.ts";
import { isFinal } from "../../lib/jobs.ts";
import { Card, Table } from "../../ui/card.tsx";
import { Button, guarded } from "../../ui/controls.tsx";
import type { JobStore } from "./store.ts";

const HEADS = ["Name", "Kind", "#Step", "#Words seen", "#Validation loss", "#Size", "Saved", ""];

export function Checkpoints({ store }: { store: JobStore }) {
  const job = store.job.value!;
  const all = store.checkpoints.value;
  const empty = isFinal(job)
    ? "There are no checkpoints: the job ended before it saved one."
    : "No checkpoints yet. The first is saved during training.";
  return (
    <Card title="Checkpoints" id="checkpoints" class="section">
      {all && (
        <Table
          caption="Checkpoints, newest first"
          kind="checkpoints"
          heads={HEADS}
          keys={all.map(({ name }) => name)}
          rows={all.map((point) => cellsOf(store, point))}
          empty={empty}
        />
      )}
      {all && all.length > 0 && (
        <details class="files">
          <summary>Files and checksums</summary>
          {all.map((point) => (
            <Files key={point.name} path={store.path} point={point} />
          ))}
        </details>
      )}
    </Card>
  );
}

function cellsOf(store: JobStore, point: Checkpoint) {
  return [
    point.name,
    point.kind,
    count(point.step),
    count(point.words_seen),
    fixed(point.validation_loss),
    bytes(point.bytes),
    when(point.created_at),
    <DownloadButton key={point.name} store={store} point={point} />,
  ];
}

function DownloadButton({ store, point }: { store: JobStore; point: Checkpoint }) {
  const [received, setReceived] = useState<number | null>(null);
  const save = async () => {
    const path = `${store.path}/checkpoints/${point.name}/archive`;
    try {
      await download(path, `${store.id.slice(0, 8)}-${point.name}.zip`, setReceived);
    } finally {
      setReceived(null);
    }
  };
  const share = received === null ? null : percent(Math.min(1, received / point.bytes));
  return (
    <Button act={save} aria-label={`Download ${point.name}`}>
      {share ?? "Download"}
    </Button>
  );
}

function Files({ path, point }: { path: string; point: Checkpoint }) {
  const rows = point.files.map((file) => [
    <FileLink
      key={file.path}
      path={`${path}/checkpoints/${point.name}/files/${file.path}`}
      name={file.path}
    />,
    bytes(file.size),
    <code key="sha">{file.sha256}</code>,
  ]);
  return (
    <>
      <h3>{point.name}</h3>
      <Table caption={`Files of ${point.name}`} heads={["File", "#Size", "SHA-256"]} rows={rows} />
    </>
  );
}

// A link, so that the user can copy its address. A click calls `download`, which can send a key.
function FileLink({ path, name }: { path: string; name: string }) {
  const open = (click: Event) => {
    click.preventDefault();
    guarded(() => download(path, name));
  };
  return (
    <a href={path} onClick={open}>
      {name}
    </a>
  );
}
