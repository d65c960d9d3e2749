// What is compared: runs, or groups of runs that differ only in their seed.

import type { Job } from "../../api/types.ts";
import { seedCurves } from "../../lib/bands.ts";
import { plural } from "../../lib/format.ts";
import { seedGroups, singleGroups } from "../../lib/seeds.ts";
import type { Series } from "../../lib/series.ts";
import type { CompareStore } from "./store.ts";

export interface Entry {
  // The beginning of the id of its oldest job, as in the address.
  id: string;
  label: string;
  // The number of its colour, from 1.
  colour: number;
  jobs: Job[];
  series: Series;
  band?: { low: Series; high: Series };
}

export function entriesOf(runs: Job[], store: CompareStore, isGrouped: boolean): Entry[] {
  const groups = isGrouped ? seedGroups(runs) : singleGroups(runs);
  const names = groups.map(({ name }) => name);
  return groups.map(({ id, name, jobs }, index) => {
    const colour = index + 1;
    if (jobs.length === 1) {
      const label = store.labelOf(jobs[0]);
      return { id, label, colour, jobs, series: store.seriesOf(jobs[0].id) };
    }
    const { mean, band } = seedCurves(jobs.map((job) => store.seriesOf(job.id)));
    const isUnique = names.indexOf(name) === names.lastIndexOf(name);
    const label = `${isUnique ? name : `${name} (${id})`}, ${plural(jobs.length, "seed")}`;
    return { id, label, colour, jobs, series: mean, band };
  });
}

// The entry of the baseline, or undefined.
export function baselineOf(entries: Entry[], job: string | null): Entry | undefined {
  return entries.find(({ jobs }) => jobs.some(({ id }) => id === job));
}
