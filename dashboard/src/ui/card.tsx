// Cards, lists of numbers and tables.

import type { ComponentChildren } from "preact";

interface CardProps {
  title: string;
  id?: string;
  class?: string;
  note?: string;
  actions?: ComponentChildren;
  children?: ComponentChildren;
}

export function Card({ title, id, class: kind = "", note, actions, children }: CardProps) {
  return (
    <section class={`card ${kind}`} id={id} aria-label={title}>
      <div class="card-head">
        <h2 title={note}>{title}</h2>
        {actions && <div class="bar">{actions}</div>}
      </div>
      {children}
    </section>
  );
}

export type Fact = [name: string, value: ComponentChildren, hint?: string];

export function Numbers({ facts, kind = "" }: { facts: (Fact | false | null)[]; kind?: string }) {
  return (
    <dl class={`numbers ${kind}`}>
      {facts.map(
        (fact) =>
          fact && (
            <div key={fact[0]} title={fact[2]}>
              <dt>{fact[0]}</dt>
              <dd>{fact[1]}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

// A column whose head begins with # contains numbers.
interface TableProps {
  caption: string;
  heads: string[];
  rows: ComponentChildren[][];
  keys?: string[];
  empty?: ComponentChildren;
  kind?: string;
  rowClass?: (index: number) => string | undefined;
}

export function Table({ caption, heads, rows, keys, empty, kind = "", rowClass }: TableProps) {
  if (!rows.length) return <p class="soft">{empty ?? "None."}</p>;
  const numeric = heads.map((head) => (head.startsWith("#") ? "number" : undefined));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must take the focus
    <section class={`scroll ${kind}`} tabIndex={0} aria-label={caption}>
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {heads.map((head, index) => (
              <th key={`${index} ${head}`} scope="col" class={numeric[index]}>
                {head.replace(/^#/, "")}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((cells, row) => (
            <tr key={keys?.[row] ?? row} class={rowClass?.(row)}>
              <th scope="row">{cells[0]}</th>
              {cells.slice(1).map((cell, index) => (
                <td key={index} class={numeric[index + 1]}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
