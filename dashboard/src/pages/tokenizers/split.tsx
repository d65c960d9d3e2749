// How one or several tokenizers split a text. The address contains the tokenizers and the text.

import { useState } from "preact/hooks";
import type { Tokenizer } from "../../api/types.ts";
import { exact, fixed } from "../../lib/format.ts";
import { setParameters } from "../../router.ts";
import { Card, Numbers } from "../../ui/card.tsx";
import { type Splits, useSplits } from "./splits.ts";
import { SplitFault, Tokens } from "./tokens.tsx";
import { WordTable } from "./words.tsx";

const COMPARED = 4;
const SENTENCE =
  "The neighbours' children couldn't stop laughing at the extraordinarily small dog.";

interface Props {
  tokenizers: Tokenizer[];
  chosen?: string;
  parameters: URLSearchParams;
}

export function Split({ tokenizers, chosen, parameters }: Props) {
  const isKnown = (id: string) => tokenizers.some(({ job }) => job === id);
  const wanted = (parameters.get("with") ?? "").split(",").filter(isKnown);
  const first = [chosen ?? ""].find(isKnown) ?? tokenizers[0].job;
  const ids = wanted.length ? [...new Set(wanted)].slice(0, COMPARED) : [first];
  const [text, setText] = useState(parameters.get("text") ?? SENTENCE);
  const splits = useSplits(ids, text);
  const write = (next: string) => {
    setText(next);
    setParameters({ text: next });
  };
  const choose = (next: string[]) => setParameters({ with: next.join(",") });
  return (
    <Card title="How a text is split">
      <div class="stack">
        <Chosen tokenizers={tokenizers} ids={ids} choose={choose} />
        <label>
          Text
          <textarea
            value={text}
            rows={3}
            maxLength={5000}
            spellcheck={false}
            onInput={(event) => write(event.currentTarget.value)}
          />
        </label>
        {ids.length === 1 ? (
          <TokenList id={ids[0]} splits={splits} />
        ) : (
          <WordTable
            tokenizers={ids.map((id) => tokenizers.find(({ job }) => job === id)!)}
            splits={splits}
          />
        )}
      </div>
    </Card>
  );
}

interface ChosenProps {
  tokenizers: Tokenizer[];
  ids: string[];
  choose: (ids: string[]) => void;
}

const labelOf = ({ name, vocab_size: size }: Tokenizer) => `${name} (${exact(size)})`;

function Chosen({ tokenizers, ids, choose }: ChosenProps) {
  const free = tokenizers.filter(({ job }) => !ids.includes(job));
  const options = tokenizers.map((one) => (
    <option key={one.job} value={one.job}>
      {labelOf(one)}
    </option>
  ));
  return (
    <div class="fields wide">
      {ids.map((id, index) => (
        <div key={id} class="bar chosen-tokenizer">
          <label>
            Tokenizer{index > 0 && ` ${index + 1}`}
            <select
              value={id}
              onChange={(event) =>
                choose(ids.map((one, at) => (at === index ? event.currentTarget.value : one)))
              }
            >
              {options}
            </select>
          </label>
          {ids.length > 1 && (
            <button
              type="button"
              class="quiet"
              aria-label={`Remove tokenizer ${index + 1}`}
              onClick={() => choose(ids.filter((one) => one !== id))}
            >
              ✕
            </button>
          )}
        </div>
      ))}
      {free.length > 0 && ids.length < COMPARED && (
        <label>
          Compare with
          <select value="" onChange={(event) => choose([...ids, event.currentTarget.value])}>
            <option value="">choose one</option>
            {free.map((one) => (
              <option key={one.job} value={one.job}>
                {labelOf(one)}
              </option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}

function TokenList({ id, splits }: { id: string; splits: Splits }) {
  const { text, fault, again } = splits;
  if (fault) return <SplitFault fault={fault} again={again} />;
  const tokens = splits.tokens.get(id);
  if (!tokens) return <p class="soft">Loading…</p>;
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
      <Tokens tokens={tokens} name="Tokens" />
    </div>
  );
}
