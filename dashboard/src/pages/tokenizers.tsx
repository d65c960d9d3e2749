// Tokenizers: a list, how each splits a text, and a form that trains one.

import { useEffect, useRef, useState } from "preact/hooks";
import { get, post, Refused } from "../api/client.ts";
import { poll } from "../api/stream.ts";
import type { Job, Tokenizer } from "../api/types.ts";
import { exact, fixed, percent, when } from "../lib/format.ts";
import { isJobId } from "../lib/ids.ts";
import { navigate } from "../router.ts";
import { Card, Numbers, Table } from "../ui/card.tsx";
import { Failure, NotAJob, PageHead, useTask, useTitle } from "../ui/page.tsx";
import type { PageProps } from "./index.tsx";

const LOOK_MILLISECONDS = 5000;
const TYPING_MILLISECONDS = 300;
const VOCABULARY = 8000;
const COMPARED = 4;
const SENTENCE =
  "The neighbours' children couldn't stop laughing at the extraordinarily small dog.";
const HEADS = [
  ...["Tokenizer", "Corpus", "#Vocabulary", "#Tokens per word", "#Bytes per token"],
  ...["#Bytes per word", "#Unused entries", "Created"],
];

interface Token {
  id: number;
  piece: string;
  text: string;
}

export function TokenizersPage({ parts }: PageProps) {
  const chosen = parts[0] || undefined;
  if (chosen !== undefined && !isJobId(chosen)) return <NotAJob id={chosen} />;
  return <Page chosen={chosen} />;
}

function Page({ chosen }: { chosen: string | undefined }) {
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
        {all && all.length > 0 && <Split tokenizers={all} chosen={chosen} />}
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

interface SplitProps {
  tokenizers: Tokenizer[];
  chosen?: string;
}

function Split({ tokenizers, chosen }: SplitProps) {
  const first = tokenizers.find(({ job }) => job === chosen) ?? tokenizers[0];
  const [job, setJob] = useState(first.job);
  const [others, setOthers] = useState<string[]>([]);
  const [text, setText] = useState(SENTENCE);
  const free = tokenizers.filter((one) => one.job !== job && !others.includes(one.job));
  const label = (one: Tokenizer) => `${one.name} (${exact(one.vocab_size)})`;
  const named = (id: string) => tokenizers.find((one) => one.job === id);
  return (
    <Card title="How a text is split">
      <div class="stack">
        <label>
          Tokenizer
          <select value={job} onChange={(event) => setJob(event.currentTarget.value)}>
            {tokenizers.map((one) => (
              <option key={one.job} value={one.job}>
                {label(one)}
              </option>
            ))}
          </select>
        </label>
        <label>
          Text
          <textarea
            value={text}
            rows={3}
            maxLength={20000}
            spellcheck={false}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <Tokens job={job} text={text} name="Tokens" />
        {others.map((id) => (
          <div key={id}>
            <h3>{label(named(id)!)}</h3>
            <Tokens job={id} text={text} name={`Tokens of ${named(id)!.name}`} />
          </div>
        ))}
        {free.length > 0 && others.length + 1 < COMPARED && (
          <label>
            Compare with
            <select
              value=""
              onChange={(event) => setOthers([...others, event.currentTarget.value])}
            >
              <option value="">choose one</option>
              {free.map((one) => (
                <option key={one.job} value={one.job}>
                  {label(one)}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
    </Card>
  );
}

function Tokens({ job, text, name }: { job: string; text: string; name: string }) {
  const [tokens, setTokens] = useState<Token[]>([]);
  const [fault, setFault] = useState("");
  const [attempt, setAttempt] = useState(0);
  const shownText = useRef(text);
  useEffect(() => {
    const controller = new AbortController();
    const split = async () => {
      try {
        const path = `/v1/tokenizers/${job}/encode`;
        const answer = await post<{ tokens: Token[] }>(path, { text }, controller.signal);
        shownText.current = text;
        setTokens(answer.tokens);
        setFault("");
      } catch (error) {
        if (!controller.signal.aborted) setFault((error as Error).message);
      }
    };
    const timer = setTimeout(split, TYPING_MILLISECONDS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [job, text, attempt]);
  if (fault) {
    return (
      <p class="notice error" role="alert">
        {fault}{" "}
        <button type="button" onClick={() => setAttempt(attempt + 1)}>
          Try again
        </button>
      </p>
    );
  }
  return <TokenList tokens={tokens} text={shownText.current} name={name} />;
}

function TokenList({ tokens, text, name }: { tokens: Token[]; text: string; name: string }) {
  const words = text.split(/\s+/).filter(Boolean).length;
  const size = new TextEncoder().encode(text).length;
  return (
    <div role="status">
      <Numbers
        facts={[
          ["Tokens", exact(tokens.length)],
          ["Words", exact(words)],
          ["Tokens per word", words ? fixed(tokens.length / words, 2) : "–"],
          ["Bytes per token", tokens.length ? fixed(size / tokens.length, 2) : "–"],
        ]}
      />
      <ul class="tokens below" aria-label={name}>
        {tokens.map(({ id, piece, text: part }, index) => (
          <li key={`${index} ${id}`} title={`id ${id}, entry ${piece}`}>
            {visible(part || piece)}
          </li>
        ))}
      </ul>
    </div>
  );
}

// The text of a token with visible spaces and line breaks, because they are part of the token.
function visible(text: string) {
  return text.replaceAll("\n", "⏎").replaceAll(" ", "·");
}

// Names of datasets that are not suggested, because development and test text must not be used for
// training, also not for that of a tokenizer.
const HELD_OUT = /(^|[_.-])(dev|test|validation)$/;

// Trains a tokenizer without a model; every other option is on the page of a new job.
function Train({ names }: { names: string[] }) {
  const [corpus, setCorpus] = useState(names.find((name) => !HELD_OUT.test(name)) ?? "");
  const [fault, setFault] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [chosen, setChosen] = useState<string | null>(null);
  const suggested = [`${corpus}_dev`, "dev"].find((name) => names.includes(name)) ?? "";
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    setFault("");
    try {
      const job = await post<Job>("/v1/tokenizers", {
        data: { dataset: corpus, validation: String(form.get("validation")) || null },
        tokenizer: { vocab_size: Number(form.get("size")) },
      });
      navigate(`#/jobs/${job.id}`);
    } catch (error) {
      setFault(faultText(error));
      setBusy(false);
    }
  };
  if (!names.length) {
    return (
      <Card title="Train only a tokenizer">
        <p class="soft">
          You need a corpus first: <a href="#/corpora">upload one</a>.
        </p>
      </Card>
    );
  }
  const options = names.map((name) => (
    <option key={name} value={name}>
      {name}
    </option>
  ));
  return (
    <Card title="Train only a tokenizer">
      <form class="task" noValidate onSubmit={submit}>
        <label>
          Corpus
          <select
            value={corpus}
            onChange={(event) => {
              setCorpus(event.currentTarget.value);
              setChosen(null);
            }}
          >
            {corpus === "" && <option value="">choose</option>}
            {options}
          </select>
        </label>
        <label>
          Validation corpus
          <select
            name="validation"
            value={chosen ?? suggested}
            onChange={(event) => setChosen(event.currentTarget.value)}
          >
            <option value="">none</option>
            {options}
          </select>
        </label>
        <label>
          Vocabulary size
          <input type="number" name="size" defaultValue={String(VOCABULARY)} min={1} step={1} />
        </label>
        <button type="submit" class="primary" disabled={isBusy}>
          Train
        </button>
      </form>
      <div role="status">{fault && <p class="notice error">{fault}</p>}</div>
      <p class="soft small">
        To use it in a job, set <code>tokenizer.from_job</code> to the id of the tokenizer job.
      </p>
    </Card>
  );
}

function faultText(error: unknown) {
  const faults = error instanceof Refused ? error.problem.errors : undefined;
  if (!faults?.length) return (error as Error).message;
  return faults.map(({ field, message }) => `${field}: ${message}`).join("; ");
}
