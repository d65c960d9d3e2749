// Filters, order and columns of the list of jobs, which the address contains.

import type { Job } from "../../api/types.ts";
import { leaves, valuesOf } from "../../lib/jobs.ts";

export interface Query {
  status: string;
  search: string;
  where: string;
  architecture: string;
  dataset: string;
  tag: string;
  // If empty, the list shows the jobs that are not archived.
  archived: string;
  sort: string;
  columns: string[] | null;
}

export function readQuery(parameters: URLSearchParams): Query {
  const text = (name: string) => parameters.get(name) ?? "";
  const columns = parameters.get("columns");
  return {
    status: text("status"),
    search: text("search"),
    where: text("where"),
    architecture: text("architecture"),
    dataset: text("dataset"),
    tag: text("tag"),
    archived: text("archived"),
    sort: text("sort"),
    columns: columns === null ? null : columns.split(",").filter(Boolean),
  };
}

// Whether the page must read all jobs, because the service cannot filter or sort by this query.
export function needsAll({ where, architecture, dataset, sort }: Query) {
  return Boolean(where || architecture || dataset || sort);
}

const CONDITION = /^\s*([\w./-]+)\s*(<=|>=|!=|=|<|>)\s*(.+?)\s*$/;

interface Condition {
  name: string;
  operator: string;
  value: string;
}

// Parses conditions such as `validation/loss < 4 and training.seed = 1`. Throws an error with a
// message for the user.
export function parseConditions(text: string): Condition[] {
  return text
    .split(/\s+and\s+|,/i)
    .filter((part) => part.trim())
    .map((part) => {
      const found = CONDITION.exec(part);
      if (!found) {
        throw new Error(`“${part.trim()}” is not a condition. Write, for example, seed = 1.`);
      }
      return { name: found[1], operator: found[2], value: found[3] };
    });
}

// The value of a metric by its name, or of an option of the spec by its path or the end of its
// path.
export function valueNamed(job: Job, name: string): unknown {
  const values = valuesOf(job);
  if (name in values) return values[name];
  const spec = leaves(job.spec);
  if (name in spec) return spec[name];
  const metric = Object.keys(values).find((known) => known.endsWith(`/${name}`));
  if (metric) return values[metric];
  const path = Object.keys(spec).find((known) => known.endsWith(`.${name}`));
  return path ? spec[path] : undefined;
}

function holds(job: Job, { name, operator, value }: Condition) {
  const found = valueNamed(job, name);
  if (found === undefined || found === null) return operator === "!=";
  if (operator === "=") return String(found) === value || Number(found) === Number(value);
  if (operator === "!=") return String(found) !== value && Number(found) !== Number(value);
  const [one, other] = [Number(found), Number(value)];
  if (operator === "<") return one < other;
  if (operator === "<=") return one <= other;
  return operator === ">" ? one > other : one >= other;
}

export function filterJobs(jobs: Job[], query: Query, conditions: Condition[]): Job[] {
  return jobs.filter(
    (job) =>
      (!query.architecture || job.spec.model?.architecture === query.architecture) &&
      (!query.dataset || job.spec.data?.dataset === query.dataset) &&
      conditions.every((condition) => holds(job, condition)),
  );
}

type Sortable = string | number | null | undefined;

// Sorts by a value; jobs without it come last in both directions.
export function sortJobs(jobs: Job[], value: (job: Job) => Sortable, isDescending: boolean) {
  const sign = isDescending ? -1 : 1;
  return [...jobs].sort((a, b) => {
    const [one, other] = [value(a) ?? null, value(b) ?? null];
    if (one === null || other === null) return Number(one === null) - Number(other === null);
    if (one === other) return 0;
    return one < other ? -sign : sign;
  });
}
