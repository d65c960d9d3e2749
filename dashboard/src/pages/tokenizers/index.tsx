// Tokenizers: a list, how each splits a text, and a form that trains one.

import { useState } from "preact/hooks";
import { get } from "../../api/client.ts";
import { poll } from "../../api/stream.ts";
import type { Tokenizer } from "../../api/types.ts";
import { exact, fixed, percent, when } from "../../lib/format.ts";
import { isJobId } from "../../lib/ids.ts";
import { Card, Table } from "../../ui/card.tsx";
import { Failure, NotAJob, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { Split } from "./split.tsx";
import { Train } from "./train.tsx";

const LOOK_MILLISECONDS = 5000;
const HEADS = [
  ...["Tokenizer", "Corpus", "#Vocabulary", "#Tokens per word", "#Bytes per token"],
  ...["#Bytes per word", "#Unused entries", "Created"],
];

export function TokenizersPage({ parts, parameters }: PageProps) {
  const chosen = parts[0] || undefined;
  if (chosen !== undefined && !isJobId(chosen)) return <NotAJob id={chosen} />;
  return <Page chosen={chosen} parameters={parameters} />;
}

interface Props {
  chosen: string | undefined;
  parameters: URLSearchParams;
}

function Page({ chosen, parameters }: Props) {
  useTitle("Tokenizers");
  const [all, setAll] = useState<Tokenizer[] | null>(null);
  const [names, setNames] = useState<string[] | null>(null);
  const { error, again } = useTask(async (signal) => {
    const { data } = await get<{ data: { name: string }[] }>("/v1/datasets", signal);
    setNames(data.map(({ name }) => name));
    await poll(
      async () => {
        const path = "/v1/tokenizers?limit=100";
        const known = (await get<{ data: Tokenizer[] }>(path, signal)).data;
        setAll((before) => (JSON.stringify(before) === JSON.stringify(known) ? before : known));
      },
      signal,
      LOOK_MILLISECONDS,
    );
  }, []);
  if (error) return <Failure error={error} again={again} />;
  return (
    <>
      <PageHead
        title="Tokenizers"
        note="Each job trains one on its text; jobs with the same text share it."
      />
      <div class="stack">
        {all && all.length > 0 && (
          <Split tokenizers={all} chosen={chosen} parameters={parameters} />
        )}
        {all && <TokenizerTable tokenizers={all} />}
        {names && <Train names={names} />}
      </div>
    </>
  );
}

function TokenizerTable({ tokenizers }: { tokenizers: Tokenizer[] }) {
  const rows = tokenizers.map((one) => {
    const measured = one.validation as Record<string, number> | null;
    const unused = measured?.unused_entries;
    return [
      <a key="job" href={`#/jobs/${one.job}`}>
        {one.name}
      </a>,
      one.dataset,
      exact(one.vocab_size),
      fixed(measured?.tokens_per_word),
      fixed(measured?.bytes_per_token, 2),
      fixed(measured?.bytes_per_word, 2),
      unused === undefined ? "–" : `${exact(unused)} (${percent(unused / one.vocab_size)})`,
      when(one.created_at),
    ];
  });
  return (
    <Card title="All tokenizers">
      <Table
        caption="Tokenizers, newest first"
        heads={HEADS}
        rows={rows}
        keys={tokenizers.map(({ job }) => job)}
        empty="No tokenizers yet. The tokenizer of a job appears here once it is trained."
      />
    </Card>
  );
}
