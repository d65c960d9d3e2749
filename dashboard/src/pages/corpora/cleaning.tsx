// What cleaning keeps and removes, by source and by rule.

import { exact, percent, plural } from "../../lib/format.ts";
import { Card, Table } from "../../ui/card.tsx";
import { Marked } from "../../ui/marks.tsx";

const EXAMPLES = 3;
const TITLE = "What cleaning drops, and why";
const HEADS = ["Source", "#Lines", "#Lines kept", "#Words", "#Words kept", "#Kept"];

export interface Source {
  lines_in: number;
  lines_out: number;
  words_in: number;
  words_out: number;
  documents: number;
  // Number of documents by length, in bins of doubling size; missing in reports of older versions.
  document_lengths?: number[] | null;
  dropped: Record<string, { count: number; examples: string[] }>;
  rows?: { read: number; empty: number; malformed: number; examples: string[] } | null;
}
export interface CleaningRead {
  status: string;
  progress: number;
  error: { message: string; hint: string } | null;
  words: number | null;
  sources: Record<string, Source>;
}

export function CleaningReport({ cleaning }: { cleaning: CleaningRead }) {
  const sources = Object.entries(cleaning.sources);
  if (!sources.length) return <Unfinished cleaning={cleaning} />;
  const rows = sources.map(([stem, source]) => [
    stem,
    exact(source.lines_in),
    exact(source.lines_out),
    exact(source.words_in),
    exact(source.words_out),
    percent(source.words_in ? source.words_out / source.words_in : 1, 1),
  ]);
  return (
    <Card title={TITLE}>
      <Table caption="Cleaning by source" heads={HEADS} rows={rows} />
      {sources.map(([stem, source]) => (
        <Skipped key={stem} stem={stem} source={source} />
      ))}
      {sources.map(([stem, source]) => (
        <Rules key={stem} stem={stem} source={source} />
      ))}
    </Card>
  );
}

function Unfinished({ cleaning }: { cleaning: CleaningRead }) {
  return (
    <Card title={TITLE}>
      {cleaning.status === "failed" ? (
        <p class="notice error">
          <b>{cleaning.error?.message}</b>
          <Marked>{cleaning.error?.hint}</Marked>
        </p>
      ) : (
        <>
          <p class="soft">The corpus is being cleaned. You can start jobs meanwhile.</p>
          <progress max={1} value={cleaning.progress || undefined} aria-label="Cleaning" />
        </>
      )}
    </Card>
  );
}

function Skipped({ stem, source: { rows } }: { stem: string; source: Source }) {
  if (!rows) return null;
  return (
    <>
      <p class="soft small">
        {stem}: {plural(rows.read, "row")} read, {exact(rows.empty)} without text,{" "}
        {exact(rows.malformed)} malformed and skipped
      </p>
      {rows.examples.map((example) => (
        <code key={example}>{example}</code>
      ))}
    </>
  );
}

function Rules({ stem, source }: { stem: string; source: Source }) {
  const rules = Object.entries(source.dropped).sort((a, b) => b[1].count - a[1].count);
  if (!rules.length) return null;
  const rows = rules.map(([rule, { count: times, examples }]) => [
    rule.replaceAll("_", " "),
    exact(times),
    <div key="examples" class="examples">
      {examples.slice(0, EXAMPLES).map((example) => (
        <code key={example}>{example}</code>
      ))}
    </div>,
  ]);
  return (
    <details>
      <summary>
        {stem}: {plural(rules.length, "rule")}
      </summary>
      <Table
        caption={`What was dropped from ${stem}`}
        heads={["Rule", "#Times", "Examples"]}
        rows={rows}
      />
    </details>
  );
}
