// One corpus: its sources, what cleaning drops, and its lines before and after cleaning.

import { useMemo, useRef } from "preact/hooks";
import { get, remove } from "../../api/client.ts";
import { Resource } from "../../api/resource.ts";
import { poll } from "../../api/stream.ts";
import { bytes, count, exact, percent } from "../../lib/format.ts";
import { isTrainingText } from "../../lib/texts.ts";
import { Card, type Fact, Numbers } from "../../ui/card.tsx";
import { Button } from "../../ui/controls.tsx";
import { ask } from "../../ui/dialog.tsx";
import { Failure, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import { type CleaningRead, CleaningReport } from "./cleaning.tsx";
import { type Summary, wordsOf } from "./index.tsx";
import { DocumentLengths } from "./lengths.tsx";
import { Lines, type PreviewLine } from "./lines.tsx";
import { UploadBox } from "./upload.tsx";

const LOOK_MILLISECONDS = 3000;

interface CorpusFile {
  name: string;
  bytes: number;
  words: number;
  preview: PreviewLine[];
}
interface Corpus extends Summary {
  files: CorpusFile[];
  cleaning: CleaningRead | null;
}

export function CorpusPage({ name }: { name: string }) {
  useTitle(name);
  const path = `/v1/datasets/${encodeURIComponent(name)}`;
  const resource = useMemo(
    () => new Resource<Corpus | null>(null, (signal) => get<Corpus>(path, signal)),
    [path],
  );
  const corpus = resource.value;
  const look = useRef(async () => {});
  const { error, again } = useTask(
    (signal) => {
      look.current = () => resource.read(signal);
      return poll(() => look.current(), signal, LOOK_MILLISECONDS);
    },
    [resource],
  );
  if (error) return <Failure error={error} again={again} />;
  const drop = async (file: string) => {
    if (!(await ask(`Remove ${file}?`, { confirm: "Remove", danger: true }))) return;
    await resource.change(() => remove(`${path}/files/${encodeURIComponent(file)}`));
    await look.current();
  };
  const erase = async () => {
    const detail = "All its files are deleted. Jobs that have ended keep their checkpoints.";
    if (!(await ask(`Delete ${name}?`, { detail, confirm: "Delete", danger: true }))) return;
    await remove(path, "#/corpora");
  };
  return (
    <>
      <PageHead title={name} note={<a href="#/corpora">All corpora</a>}>
        <Uses name={name} />
        <Button class="danger" act={erase}>
          Delete
        </Button>
      </PageHead>
      <div class="stack">
        {corpus && <Size corpus={corpus} />}
        {corpus && <Words corpus={corpus} drop={drop} />}
        {corpus?.cleaning && <CleaningReport cleaning={corpus.cleaning} />}
        {corpus?.cleaning && <DocumentLengths sources={corpus.cleaning.sources} />}
        {corpus && <AllLines files={corpus.files} />}
        <Card title="Add files">
          <UploadBox folder={path} onDone={() => look.current().catch(() => {})} />
        </Card>
      </div>
    </>
  );
}

// Links to the start of a new job with the corpus and to the jobs that use it.
function Uses({ name }: { name: string }) {
  const text = encodeURIComponent(name);
  return (
    <>
      {isTrainingText(name) && (
        <a class="button primary" href={`#/start?text=${text}`}>
          Train a model
        </a>
      )}
      <a class="button" href={`#/?dataset=${text}`}>
        Jobs on this text
      </a>
    </>
  );
}

function Size({ corpus }: { corpus: Corpus }) {
  const { cleaning } = corpus;
  const kept = cleaning?.words ?? null;
  const facts: (Fact | null)[] = [
    ["Words", wordsOf(corpus), exact(corpus.words)],
    ["Size", bytes(corpus.bytes)],
    ["Files", exact(corpus.files.length)],
    cleaning && ["Words after cleaning", kept === null ? "counting…" : count(kept), exact(kept)],
    kept === null ? null : ["Kept", percent(kept / corpus.words, 1)],
  ];
  return (
    <section class="card" aria-label="Size">
      <Numbers facts={facts} />
    </section>
  );
}

interface WordsProps {
  corpus: Corpus;
  // Removes a file.
  drop: (file: string) => Promise<void>;
}

function Words({ corpus, drop }: WordsProps) {
  const most = Math.max(1, ...corpus.files.map(({ words }) => words));
  return (
    <Card title="Words by source">
      <div class="bars">
        {corpus.files.map(({ name, words, bytes: size }) => (
          <>
            <span>{name}</span>
            <meter min={0} max={most} value={words} aria-label={`${name}: ${exact(words)} words`} />
            <span class="bar">
              <span class="soft">
                {exact(words)} words · {bytes(size)}
              </span>
              {corpus.files.length > 1 && (
                <Button class="quiet" aria-label={`Remove ${name}`} act={() => drop(name)}>
                  Remove
                </Button>
              )}
            </span>
          </>
        ))}
      </div>
    </Card>
  );
}

function AllLines({ files }: { files: CorpusFile[] }) {
  return (
    <Card title="Lines, before and after cleaning">
      {files.map(({ name, preview }, index) => (
        <details key={name} open={index === 0}>
          <summary>{name}</summary>
          <Lines lines={preview} />
        </details>
      ))}
    </Card>
  );
}
