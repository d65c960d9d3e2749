// Filters, order and columns of the list of jobs, which the address contains.

import type { Job } from "../../api/types.ts";
import { leaves, valuesOf } from "../../lib/jobs.ts";
import type { SeedGroup } from "../../lib/seeds.ts";
import { COLUMNS, type Column, groupSpread } from "./columns.tsx";

export interface Query {
  status: string;
  search: string;
  where: string;
  architecture: string;
  dataset: string;
  tag: string;
  // If empty, the list shows the jobs that are not archived.
  archived: string;
  // The order in the syntax of the API, such as `-validation/loss`; empty: newest first.
  sort: string;
  // `seeds` groups the jobs that differ only in their seed.
  group: string;
  // The ids of the groups whose jobs are shown.
  open: string;
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
    sort: orderOf(text("sort")),
    group: text("group") === "seeds" ? "seeds" : "",
    open: text("open"),
    columns: columns === null ? null : columns.split(",").filter(Boolean),
  };
}

// Whether the page must read all jobs, because the service cannot filter or group by this query.
export function needsAll({ where, architecture, dataset, group }: Query) {
  return Boolean(where || architecture || dataset || group);
}

const SCORE = /^evaluation\/[\w.-]+$/;

// The order in the syntax of the API; empty if no column has this name.
function orderOf(text: string): string {
  const [, sign, name] = /^(-?)(.*)$/.exec(text)!;
  if (name === "name" || SCORE.test(name)) return text;
  const column = COLUMNS.find(({ key, sort }) => name === key || name === sort);
  return column ? sign + column.sort : "";
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

// Sorts groups by the mean of a column. If the column has no mean, the groups keep the order of
// their first jobs, which the service has sorted.
export function sortGroups(groups: SeedGroup[], sort: string, columns: Column[]): SeedGroup[] {
  const name = sort.replace(/^-/, "");
  const column = columns.find((one) => one.sort === name);
  if (!column?.text) return groups;
  const mean = new Map(groups.map(({ id, jobs }) => [id, groupSpread(column, jobs)?.mean]));
  const sign = sort.startsWith("-") ? -1 : 1;
  return [...groups].sort((a, b) => {
    const [one, other] = [mean.get(a.id), mean.get(b.id)];
    if (one === undefined || other === undefined) {
      return Number(one === undefined) - Number(other === undefined);
    }
    return sign * (one - other);
  });
}
