// Uploading files to a corpus or to an evaluation task.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Refused } from "../../api/client.ts";
import { bytes } from "../../lib/format.ts";
import { isDatasetName } from "../../lib/ids.ts";
import { upload } from "../../lib/upload.ts";
import { NameField } from "../../ui/controls.tsx";

const CONFLICT = 409;

interface Transfer {
  file: File;
  sent: number;
  state: "waiting" | "sending" | "done" | "failed";
  note: string;
  // After a failure: whether a retry may succeed, and whether the retry replaces an existing file.
  mayRetry?: boolean;
  isConflict?: boolean;
}

interface Props {
  // Path of the corpus or the task in the API; null if its name is missing or invalid.
  folder: string | null;
  what?: string;
  onDone: () => void;
  // A text about the accepted files. Default: the text for the files of a corpus.
  children?: ComponentChildren;
}

export function UploadBox({ folder, what = "corpus", onDone, children = <TextFiles /> }: Props) {
  const [transfers, setTransfers] = useState<Transfer[]>([]);
  const [fault, setFault] = useState("");
  const abort = useRef(new AbortController());
  useEffect(() => () => abort.current.abort(), []);
  const { signal } = abort.current;
  const change = (file: File, values: Partial<Transfer>) =>
    setTransfers((all) => all.map((one) => (one.file === file ? { ...one, ...values } : one)));
  const sendAll = async (files: File[]) => {
    if (folder === null) {
      setFault(`Give the ${what} a name first: letters, digits, “.”, “_” and “-”.`);
      return;
    }
    setFault("");
    setTransfers(files.map((file) => ({ file, sent: 0, state: "waiting", note: "waiting" })));
    let isWhole = files.length > 0;
    for (const file of files) {
      isWhole = (await sendOne(folder, file, { signal, change })) && isWhole;
    }
    if (isWhole && !signal.aborted) onDone();
  };
  const again = async ({ file, isConflict }: Transfer) => {
    const sent = await sendOne(folder!, file, { signal, change, replace: isConflict });
    if (sent) onDone();
  };
  return (
    <>
      <DropArea onFiles={sendAll}>{children}</DropArea>
      <div class="stack uploads" role="status">
        {fault && (
          <p class="notice error" role="alert">
            {fault}
          </p>
        )}
        {transfers.map((one) => (
          <TransferRow key={one.file.name} transfer={one} again={() => again(one)} />
        ))}
      </div>
    </>
  );
}

interface NewProps {
  // An example of a name.
  example: string;
  // The name that the field has at first.
  wanted?: string;
  onDone: (name: string) => void;
}

// Uploads files to a corpus. The user enters the name of the corpus.
export function NewCorpus({ example, wanted = "", onDone }: NewProps) {
  const [name, setName] = useState(wanted);
  return (
    <>
      <div class="fields wide">
        <NameField label="Name" placeholder={example} value={name} onChange={setName} />
      </div>
      <div class="below">
        <UploadBox
          folder={isDatasetName(name) ? `/v1/datasets/${name}` : null}
          onDone={() => onDone(name)}
        />
      </div>
    </>
  );
}

interface SendOptions {
  signal: AbortSignal;
  change: (file: File, values: Partial<Transfer>) => void;
  replace?: boolean;
}

async function sendOne(folder: string, file: File, { signal, change, replace }: SendOptions) {
  const total = bytes(file.size);
  const onProgress = (sent: number) => {
    change(file, { sent, state: "sending", note: `${bytes(sent)} of ${total}` });
  };
  try {
    const { files } = await upload(folder, file, { signal, replace, onProgress });
    const note = files.length === 1 ? "done" : `${files.length} files`;
    change(file, { sent: file.size, state: "done", note: `${total}, ${note}` });
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    const status = error instanceof Refused ? error.problem.status : undefined;
    const isConflict = status === CONFLICT;
    // If the service refuses a file for its content, a retry is useless.
    const mayRetry = isConflict || status === undefined || status >= 500;
    change(file, { state: "failed", note: (error as Error).message, isConflict, mayRetry });
    return false;
  }
}

function TextFiles() {
  return (
    <>
      <p>Drop files here: text, rows with a column “text”, or a zip or tar archive of them.</p>
      <p class="soft small">
        Text: .txt, .train, .dev, .test, .cha, .srt, .vtt. Rows: .jsonl, .csv, .parquet, .arrow.
        Each also compressed: .gz, .xz, .zst.
      </p>
    </>
  );
}

interface DropProps {
  onFiles: (files: File[]) => void;
  children: ComponentChildren;
}

function DropArea({ onFiles, children }: DropProps) {
  const [isOver, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const drag = (value: boolean) => (event: DragEvent) => {
    event.preventDefault();
    setOver(value);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the button inside does the same
    <div
      class={`drop${isOver ? " over" : ""}`}
      onDragOver={drag(true)}
      onDragLeave={drag(false)}
      onDrop={(event) => {
        drag(false)(event);
        onFiles([...(event.dataTransfer?.files ?? [])]);
      }}
    >
      {children}
      <button type="button" onClick={() => input.current?.click()}>
        Choose files
      </button>
      <input
        ref={input}
        type="file"
        multiple
        class="hidden"
        aria-label="Files to upload"
        onChange={(event) => {
          onFiles([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
    </div>
  );
}

function TransferRow({ transfer, again }: { transfer: Transfer; again: () => void }) {
  const { file, sent, state, note, mayRetry, isConflict } = transfer;
  const kind = { done: "succeeded", failed: "failed", sending: "", waiting: "" }[state];
  return (
    <div>
      <div class="bar spread small">
        <span>{file.name}</span>
        <span class="soft">{state === "failed" ? "not uploaded" : note}</span>
      </div>
      <progress class={kind} max={file.size} value={sent} aria-label={`Uploading ${file.name}`} />
      {state === "failed" && (
        <p class="notice error" role="alert">
          {note}{" "}
          {mayRetry && (
            <button type="button" onClick={again}>
              {isConflict ? "Replace the file" : "Try again"}
            </button>
          )}
        </p>
      )}
    </div>
  );
}
