// The charts of the job.

import { useCallback, useMemo } from "preact/hooks";
import { Charts } from "../../charts/charts.tsx";
import { isFinal } from "../../lib/jobs.ts";
import type { JobStore } from "./store.ts";

export function JobCharts({ store }: { store: JobStore }) {
  const job = store.job.value!;
  const runs = useMemo(() => [{ id: store.id, label: job.name, series: store.series }], [store]);
  const onRange = useCallback(
    (low: number, high: number) => void store.lookCloser(low, high),
    [store],
  );
  if (isFinal(job) && !job.metrics?.step && !store.series.names.length) {
    return (
      <p class="soft section" id="charts">
        There are no charts: the job ended before its first step.
      </p>
    );
  }
  return (
    <div class="section" id="charts">
      <Charts
        runs={runs}
        version={store.version.value}
        isLoading={store.isLoading.value}
        marks={store.marks()}
        onRange={onRange}
      />
    </div>
  );
}
