// The words of a text side by side: each row is a word, each column a tokenizer.

import type { Tokenizer } from "../../api/types.ts";
import { exact, fixed } from "../../lib/format.ts";
import { Table } from "../../ui/card.tsx";
import { type Splits, type Token, tokensByWord, type Word, wordsIn } from "./splits.ts";
import { SplitFault, Tokens } from "./tokens.tsx";

interface Props {
  tokenizers: Tokenizer[];
  splits: Splits;
}

interface Row {
  word: Word;
  // The tokens of the word by tokenizer.
  parts: Token[][];
}

export function WordTable({ tokenizers, splits }: Props) {
  const { text, tokens, fault, again } = splits;
  if (fault) return <SplitFault fault={fault} again={again} />;
  const words = wordsIn(text);
  const columns = tokenizers.map(({ job }) => tokensByWord(words, tokens.get(job) ?? []));
  const rows = words
    .map((word, at): Row => ({ word, parts: columns.map((column) => column[at]) }))
    // Shows a repeated word only once. Its tokens differ only at the beginning of the text, where
    // no space precedes the word.
    .filter(({ word }, at) => words.findIndex((one) => one.text === word.text) === at);
  const totals = tokenizers.map(({ job }) => tokens.get(job)?.length ?? 0);
  const cells = rows.map(({ word, parts }) => [
    word.text,
    ...parts.map((part, index) => (
      <Tokens key={index} tokens={part} name={`${word.text}, tokenizer ${index + 1}`} />
    )),
  ]);
  const sum = (index: number) =>
    words.length
      ? `${exact(totals[index])} (${fixed(totals[index] / words.length, 2)} per word)`
      : "–";
  return (
    <Table
      caption="Words by tokenizer"
      kind="split-words"
      heads={[
        "Word",
        ...tokenizers.map(({ name, vocab_size }) => `${name} (${exact(vocab_size)})`),
      ]}
      rows={[...cells, ["All tokens", ...totals.map((_, index) => sum(index))]]}
      rowClass={(row) => rowClass(rows[row])}
    />
  );
}

// Marks the words that the tokenizers split into different numbers of tokens.
function rowClass(row: Row | undefined) {
  if (!row) return "sum";
  return new Set(row.parts.map(({ length }) => length)).size > 1 ? "differs" : undefined;
}
