// The list of all corpora, or the page of one corpus.

import { useState } from "preact/hooks";
import { get } from "../../api/client.ts";
import { poll } from "../../api/stream.ts";
import { bytes, count, exact } from "../../lib/format.ts";
import { isDatasetName } from "../../lib/ids.ts";
import { navigate } from "../../router.ts";
import { Card, Numbers } from "../../ui/card.tsx";
import { Failure, NotFound, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { CorpusPage } from "./corpus.tsx";
import { NewCorpus } from "./upload.tsx";

const LOOK_MILLISECONDS = 3000;
const SOURCES_SHOWN = 8;

export interface Summary {
  name: string;
  words: number;
  bytes: number;
  sources: string[];
  is_words_exact?: boolean;
}

export function CorporaPage({ parts, parameters }: PageProps) {
  const name = parts[0];
  if (!name)
    return <AllCorpora wanted={parameters.get("name") ?? ""} job={parameters.get("job")} />;
  // The service would refuse this name too, so the page sends no request.
  if (!isDatasetName(name))
    return <NotFound>There is no corpus “{name}”. Check the address.</NotFound>;
  return <CorpusPage name={name} />;
}

export function wordsOf({ words, is_words_exact: isExact }: Summary) {
  return isExact === false ? `≈ ${count(words)}` : count(words);
}

interface AllProps {
  // The name of a corpus that the address asks the user to add, and the job that needs it.
  wanted: string;
  job: string | null;
}

function AllCorpora({ wanted, job }: AllProps) {
  useTitle("Corpora");
  const [all, setAll] = useState<Summary[] | null>(null);
  const { error, again } = useTask(
    (signal) =>
      poll(
        async () => setAll((await get<{ data: Summary[] }>("/v1/datasets", signal)).data),
        signal,
        LOOK_MILLISECONDS,
      ),
    [],
  );
  if (error) return <Failure error={error} again={again} />;
  return (
    <>
      <PageHead title="Corpora" note="Text folders for training and validation." />
      <div class="grid">
        {all?.map((corpus) => (
          <CorpusCard key={corpus.name} corpus={corpus} />
        ))}
        {all?.length === 0 && (
          <div class="card empty wide">
            <h2>No corpora yet</h2>
            <p class="soft">Upload text files below, or put a folder into the data directory.</p>
          </div>
        )}
      </div>
      <Card title="New corpus" class="below">
        <NewCorpus
          example="my-corpus"
          wanted={wanted}
          onDone={(name) =>
            navigate(job ? `#/jobs/${job}` : `#/corpora/${encodeURIComponent(name)}`)
          }
        />
      </Card>
    </>
  );
}

function CorpusCard({ corpus }: { corpus: Summary }) {
  const { name, sources } = corpus;
  return (
    <a class="card corpus" href={`#/corpora/${encodeURIComponent(name)}`}>
      <h2>{name}</h2>
      <Numbers
        facts={[
          ["Words", wordsOf(corpus)],
          ["Size", bytes(corpus.bytes)],
          ["Files", exact(sources.length)],
        ]}
      />
      <p class="soft small">
        {sources.slice(0, SOURCES_SHOWN).join(" · ")}
        {sources.length > SOURCES_SHOWN && " …"}
      </p>
    </a>
  );
}
