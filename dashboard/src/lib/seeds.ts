// Groups of jobs that differ only in their seed, such as the members of a study's condition.

import type { Job } from "../api/types.ts";
import { leaves } from "./jobs.ts";

const IGNORED = new Set(["name", "training.seed", "finetune.seed"]);
const SHORT_ID = 8;
const SHORTEST_NAME = 3;
// The end of the common part of the names in a group, such as `, seed 1`, which is cut off.
const NAME_END = /[\s,;:(_=-]*(seed)?[\s,;:(_=-]*\d*$/i;

export interface SeedGroup {
  // The beginning of the id of the oldest job, so that a new job does not change it.
  id: string;
  name: string;
  jobs: Job[];
}

// The spec of a job never changes, so its key is computed once.
const keys = new Map<string, string>();

function keyOf(job: Job): string {
  let key = keys.get(job.id);
  if (key === undefined) {
    const options = Object.entries(leaves(job.spec)).filter(([path]) => !IGNORED.has(path));
    key = JSON.stringify(options.sort(([one], [other]) => (one < other ? -1 : 1)));
    keys.set(job.id, key);
  }
  return key;
}

// The groups in the order of their first job. A job that differs from all others is a group of its
// own.
export function seedGroups(jobs: Job[]): SeedGroup[] {
  const found = new Map<string, Job[]>();
  for (const job of jobs) {
    const key = keyOf(job);
    const members = found.get(key);
    if (members) members.push(job);
    else found.set(key, [job]);
  }
  return [...found.values()].map((members) => {
    const oldest = members.reduce((a, b) => (b.created_at < a.created_at ? b : a));
    return { id: oldest.id.slice(0, SHORT_ID), name: commonName(members), jobs: members };
  });
}

export function singleGroups(jobs: Job[]): SeedGroup[] {
  return jobs.map((job) => ({ id: job.id.slice(0, SHORT_ID), name: job.name, jobs: [job] }));
}

function commonName(jobs: Job[]): string {
  const [first, ...others] = jobs.map(({ name }) => name);
  if (others.every((name) => name === first)) return first;
  let length = first.length;
  for (const name of others) while (!name.startsWith(first.slice(0, length))) length -= 1;
  const common = first.slice(0, length).replace(NAME_END, "");
  return common.length < SHORTEST_NAME ? first : common;
}

export const seedOf = ({ spec }: Job): number | undefined =>
  spec.task === "finetune" ? spec.finetune?.seed : spec.training?.seed;

// The jobs whose results count: those that have succeeded, or all if none has succeeded so far.
export function counted(jobs: Job[]): Job[] {
  const done = jobs.filter(({ status }) => status === "succeeded");
  return done.length ? done : jobs;
}
