// The rows and columns that the table shows, as CSV with full precision.

import { save } from "../../api/client.ts";
import { counted, type SeedGroup } from "../../lib/seeds.ts";
import { type Column, groupSpread } from "./columns.tsx";

export function saveTable(groups: SeedGroup[], columns: Column[], isGrouped: boolean) {
  const lines = isGrouped ? groupLines(groups, columns) : jobLines(groups, columns);
  const text = lines.map((cells) => cells.map(quoted).join(",")).join("\n");
  save(new Blob([`${text}\n`], { type: "text/csv" }), "jobs.csv");
}

function jobLines(groups: SeedGroup[], columns: Column[]): unknown[][] {
  const jobs = groups.flatMap((group) => group.jobs);
  return [
    ["id", "name", "created_at", ...columns.map(({ key }) => key)],
    ...jobs.map((job) => [
      ...[job.id, job.name, job.created_at],
      ...columns.map(({ value, key }) => (key === "time" ? timeOf(value(job)) : value(job))),
    ]),
  ];
}

// A line for each group of seeds: the number of jobs, and the mean and deviation of each column with
// numbers.
function groupLines(groups: SeedGroup[], columns: Column[]): unknown[][] {
  const others = columns.filter(({ key }) => key !== "time" && key !== "seed");
  const heads = others.flatMap(({ key, text }) =>
    text ? [`${key}_mean`, `${key}_deviation`] : [key],
  );
  return [
    ["name", "jobs", "counted", ...heads],
    ...groups.map(({ name, jobs }) => [
      ...[name, jobs.length, counted(jobs).length],
      ...others.flatMap((column) => groupCells(column, jobs)),
    ]),
  ];
}

function groupCells(column: Column, jobs: SeedGroup["jobs"]): unknown[] {
  if (!column.text) return [[...new Set(jobs.map(column.value))].join(" ")];
  const spread = groupSpread(column, jobs);
  return [spread?.mean, spread?.deviation];
}

function timeOf(value: unknown) {
  return typeof value === "number" ? new Date(value).toISOString() : value;
}

function quoted(value: unknown) {
  const text = String(value ?? "");
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
