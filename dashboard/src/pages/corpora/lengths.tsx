// The lengths of the documents after cleaning, as a histogram for each source.

import { exact, plural } from "../../lib/format.ts";
import { Card, Table } from "../../ui/card.tsx";
import type { Source } from "./cleaning.tsx";

const LABEL_EVERY = 2;
const MIN_HEIGHT = 2;

interface Lengths {
  stem: string;
  source: Source;
  bins: number[];
}

export function DocumentLengths({ sources }: { sources: Record<string, Source> }) {
  const known = Object.entries(sources).flatMap(([stem, source]): Lengths[] =>
    source.document_lengths ? [{ stem, source, bins: source.document_lengths }] : [],
  );
  if (!known.length) return null;
  const first = Math.min(...known.map(({ bins }) => bins.findIndex(Boolean)));
  const last = Math.max(...known.map(({ bins }) => bins.length));
  return (
    <Card title="Lengths of documents, after cleaning">
      <p class="soft">
        The number of documents by their number of words. Each bar covers a range of lengths that is
        twice as wide as the range before it. The highest bar of each source has full height.
      </p>
      <div class="lengths">
        {known.map((one) => (
          <Histogram key={one.stem} {...one} first={first} last={last} />
        ))}
      </div>
      <details>
        <summary>As a table</summary>
        <LengthTable known={known} first={first} last={last} />
      </details>
    </Card>
  );
}

// The limits of a bin: from 2**i to 2**(i+1) - 1 words.
function rangeText(bin: number) {
  const [low, high] = [2 ** bin, 2 ** (bin + 1) - 1];
  return low === high ? exact(low) : `${exact(low)} to ${exact(high)}`;
}

// The lower limit of a bin in few characters, in binary thousands: 1k for 1,024.
function labelOf(bin: number) {
  const unit = Math.min(2, Math.floor(bin / 10));
  return `${2 ** (bin - 10 * unit)}${["", "k", "M"][unit]}`;
}

interface HistogramProps extends Lengths {
  first: number;
  last: number;
}

function Histogram({ stem, source, bins, first, last }: HistogramProps) {
  const most = Math.max(...bins);
  const numbers = Array.from({ length: last - first }, (_, index) => first + index);
  const mean = source.words_out / source.documents;
  const peak = bins.indexOf(most);
  const summary =
    `${stem}: ${plural(source.documents, "document")}, ${exact(Math.round(mean))} words on ` +
    `average; most have ${rangeText(peak)} words`;
  return (
    <figure>
      <figcaption>
        <b>{stem}</b>
        <span class="soft small">
          {plural(source.documents, "document")}, {exact(Math.round(mean))} words on average
        </span>
      </figcaption>
      <div class="histogram" role="img" aria-label={summary}>
        {numbers.map((bin) => {
          const number = bins[bin] ?? 0;
          const height = number ? Math.max(MIN_HEIGHT, (number / most) * 100) : 0;
          return (
            <div key={bin} title={`${rangeText(bin)} words: ${plural(number, "document")}`}>
              <i style={{ height: `${height}%` }} />
              <small>{(bin - first) % LABEL_EVERY ? "" : labelOf(bin)}</small>
            </div>
          );
        })}
      </div>
    </figure>
  );
}

function LengthTable({ known, first, last }: { known: Lengths[]; first: number; last: number }) {
  const rows = Array.from({ length: last - first }, (_, index) => [
    rangeText(first + index),
    ...known.map(({ bins }) => exact(bins[first + index] ?? 0)),
  ]);
  return (
    <Table
      caption="Documents by number of words"
      heads={["Words", ...known.map(({ stem }) => `#${stem}`)]}
      rows={rows}
    />
  );
}
