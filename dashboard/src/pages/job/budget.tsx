// The words that the run has seen and will see, with the milestones of its track as ticks.

import { count, exact } from "../../lib/format.ts";
import type { JobStore } from "./store.ts";

const LABEL_SHARE = 0.07;
const WIDTH = 1000;

export function Budget({ store }: { store: JobStore }) {
  const job = store.job.value!;
  const seen = job.metrics?.words_seen ?? 0;
  const total = Math.max(plannedWords(store), seen);
  if (!total) return null;
  const milestones = (store.checkpoints.value ?? []).filter(({ kind }) => kind === "milestone");
  const saved = new Set(milestones.map(({ name }) => name));
  const due = store.estimate.value?.milestones ?? [];
  const ticks = due.filter(({ words }) => words <= total * 1.02);
  let labelled = -1;
  const shown = ticks.map((tick) => {
    const at = Math.min(1, tick.words / total);
    const hasLabel = at - labelled > LABEL_SHARE;
    if (hasLabel) labelled = at;
    return { ...tick, at, hasLabel, isSaved: saved.has(tick.name) };
  });
  return (
    <figure class="budget" aria-label="Words seen of the budget">
      <figcaption>
        <span>
          <b>{count(seen)}</b> of {count(total)} words
        </span>
        {ticks.length > 0 && (
          <span class="soft">
            {saved.size} of {ticks.length} milestones saved
          </span>
        )}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} 26`} preserveAspectRatio="none" aria-hidden="true">
        <rect class="track" y="6" width={WIDTH} height="10" rx="3" />
        <rect class="seen" y="6" width={(seen / total) * WIDTH} height="10" rx="3" />
        {shown.map(({ name, at, isSaved }) => (
          <rect
            key={name}
            class={isSaved ? "saved" : ""}
            x={at * WIDTH - 1}
            width="2"
            height="22"
          />
        ))}
      </svg>
      <div class="budget-labels" aria-hidden="true">
        {shown.map(
          ({ name, at, hasLabel, words }) =>
            hasLabel && (
              <span key={name} style={{ left: `${at * 100}%` }} title={`${name}: ${exact(words)}`}>
                {count(words).replace(/\.0+ /, "").replace(" ", "")}
              </span>
            ),
        )}
      </div>
    </figure>
  );
}

// The number of words that the run will see. After the first measurement, it is extrapolated from
// the words seen so far. Before the first measurement, it is the estimate of the service.
function plannedWords(store: JobStore): number {
  const job = store.job.value!;
  const seen = job.metrics?.words_seen ?? 0;
  const step = job.metrics?.step ?? 0;
  if (job.max_steps && step) return (seen / step) * job.max_steps;
  return store.estimate.value?.words_seen ?? 0;
}
