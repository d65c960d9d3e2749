// Compares runs, or groups of seeds: results, curves, differences between their specs, and how
// results depend on options. The address contains all choices.

import { useSignal } from "@preact/signals";
import { useMemo, useState } from "preact/hooks";
import { poll } from "../../api/stream.ts";
import { Charts } from "../../charts/charts.tsx";
import { setParameters } from "../../router.ts";
import { Failure, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { type Choice, chooseJobs, readChoice } from "./choice.ts";
import { baselineOf, type Entry, entriesOf } from "./entries.ts";
import { optionFields, resultFields } from "./fields.ts";
import { Finder } from "./finder.tsx";
import { Legend } from "./legend.tsx";
import { Parallel } from "./parallel.tsx";
import { Results } from "./results.tsx";
import { Scatter } from "./scatter.tsx";
import { Specs } from "./specs.tsx";
import { CompareStore } from "./store.ts";

const LOOK_MILLISECONDS = 4000;

export function ComparePage({ parameters }: PageProps) {
  useTitle("Compare");
  const choice = readChoice(parameters);
  const ids = choice.jobs;
  const [store] = useState(() => new CompareStore());
  const { error, again } = useTask(
    (signal) => poll(() => store.look(ids, signal), signal, LOOK_MILLISECONDS),
    [ids.join()],
  );
  const entries = useMemo(
    () => entriesOf(store.runs(ids), store, choice.isGrouped),
    [store.version.value, ids.join(), choice.isGrouped],
  );
  if (error) return <Failure error={error} again={again} />;
  return (
    <>
      <PageHead title="Compare runs" />
      <section class="card" aria-label="Choice of runs">
        {!ids.length && <p class="soft">Choose two or more runs to compare.</p>}
        <div class="bar spread start">
          <div class="finder">
            <Finder ids={ids} choose={chooseJobs} />
          </div>
          {(ids.length > 1 || choice.isGrouped) && <Options choice={choice} entries={entries} />}
        </div>
      </section>
      {entries.length > 0 && <Parts choice={choice} entries={entries} store={store} />}
    </>
  );
}

function Options({ choice, entries }: { choice: Choice; entries: Entry[] }) {
  return (
    <div class="bar">
      <label class="inline" title="The mean of the runs that differ only in their seed">
        <input
          type="checkbox"
          checked={choice.isGrouped}
          onChange={(event) =>
            setParameters({ group: event.currentTarget.checked ? "seeds" : "", hidden: "" })
          }
        />
        Group seeds
      </label>
      {entries.length > 1 && <Baseline choice={choice} entries={entries} />}
    </div>
  );
}

function Baseline({ choice, entries }: { choice: Choice; entries: Entry[] }) {
  return (
    <label class="inline">
      Baseline
      <select
        value={baselineOf(entries, choice.baseline)?.id ?? ""}
        onChange={({ currentTarget }) => {
          const chosen = entries.find(({ id }) => id === currentTarget.value);
          setParameters({ baseline: chosen?.jobs[0].id });
        }}
      >
        <option value="">none</option>
        {entries.map(({ id, label }) => (
          <option key={id} value={id}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}

interface PartsProps {
  choice: Choice;
  entries: Entry[];
  store: CompareStore;
}

function Parts({ choice, entries, store }: PartsProps) {
  const focus = useSignal<string | null>(null);
  const hidden = useMemo(() => new Set(choice.hidden), [choice.hidden.join()]);
  const base = baselineOf(entries, choice.baseline);
  const shown = entries.filter(({ id }) => !hidden.has(id));
  // Pointing at a run renders this component again, so the fields are kept until `entries` changes.
  const { runs, results, fields } = useMemo(() => {
    const runs = entries.flatMap(({ jobs }) => jobs);
    const results = resultFields(runs, store);
    return { runs, results, fields: [...optionFields(runs), ...results] };
  }, [entries]);
  const common = { choice, entries: shown, fields, focus };
  const legend = useMemo(() => ({ hidden, focused: focus.value }), [hidden, focus.value]);
  return (
    <div class="stack below">
      <Legend entries={entries} hidden={hidden} focus={focus} />
      <Results {...{ entries, results, base, hidden }} focused={focus.value} />
      <div>
        <Charts
          runs={entries}
          version={store.version.value}
          isLoading={store.isLoading}
          legend={legend}
        />
      </div>
      <Specs entries={entries} base={base} />
      {runs.length > 1 && <Scatter {...common} />}
      {runs.length > 1 && <Parallel {...common} />}
    </div>
  );
}
