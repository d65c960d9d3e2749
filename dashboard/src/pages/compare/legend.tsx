// The legend of all charts of the page: pointing at a run fades the others, and a press hides them.

import type { Signal } from "@preact/signals";
import { colourClass } from "../../charts/plot.ts";
import { chooseJobs, hide } from "./choice.ts";
import type { Entry } from "./entries.ts";

interface Props {
  entries: Entry[];
  hidden: Set<string>;
  // The id of the entry that is drawn strongly.
  focus: Signal<string | null>;
}

export function Legend({ entries, hidden, focus }: Props) {
  const isSome = entries.some(({ id }) => hidden.has(id));
  return (
    <div class="run-legend">
      <ul class="legend runs" aria-label="Runs">
        {entries.map((entry) => (
          <Item key={entry.id} entry={entry} {...{ entries, hidden, focus }} />
        ))}
      </ul>
      {isSome && (
        <button type="button" class="quiet" onClick={() => hide([])}>
          Show all
        </button>
      )}
    </div>
  );
}

function Item({ entry, entries, hidden, focus }: Props & { entry: Entry }) {
  const { id, label, colour, jobs } = entry;
  const others = entries.map((one) => one.id).filter((one) => one !== id);
  const isAlone = others.length > 0 && others.every((one) => hidden.has(one)) && !hidden.has(id);
  const toggle = () => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    hide(next);
  };
  const removeEntry = () => {
    const gone = new Set(jobs.map((job) => job.id));
    chooseJobs(
      entries.flatMap((one) => one.jobs.map((job) => job.id)).filter((one) => !gone.has(one)),
    );
    focus.value = null;
  };
  const enter = () => {
    focus.value = id;
  };
  const leave = () => {
    focus.value = null;
  };
  return (
    <li
      class={`${colourClass(colour)} ${hidden.has(id) ? "off" : ""}`}
      onMouseEnter={enter}
      onMouseLeave={leave}
      onFocusIn={enter}
      onFocusOut={leave}
    >
      <input
        type="checkbox"
        aria-label={`Show ${label}`}
        checked={!hidden.has(id)}
        onChange={toggle}
      />
      <button
        type="button"
        class="run"
        aria-pressed={isAlone}
        title={isAlone ? "Show all runs" : "Show only this run"}
        onClick={() => hide(isAlone ? [] : others)}
      >
        {label}
      </button>
      <button
        type="button"
        class="quiet remove"
        aria-label={`Remove ${label}`}
        title="Remove from the comparison"
        onClick={removeEntry}
      >
        ×
      </button>
    </li>
  );
}
