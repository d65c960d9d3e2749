// The rows of the list.

import type { Job } from "../../api/types.ts";
import { architectureOf } from "../../lib/jobs.ts";
import { navigate } from "../../router.ts";
import { Tags } from "../../ui/status.tsx";
import type { Column } from "./columns.tsx";
import type { JobList } from "./store.ts";

interface Props {
  list: JobList;
  jobs: Job[];
  columns: Column[];
  sort: string;
  change: (values: { sort: string }) => void;
}

export function JobTable({ list, jobs, columns, sort, change }: Props) {
  const chosen = list.chosen.value;
  const isAll = jobs.every(({ id }) => chosen.has(id));
  const sortBy = (key: string) => {
    // The clicks sort in descending order, in ascending order, and then by the newest first.
    change({ sort: sort === `-${key}` ? key : sort === key ? "" : `-${key}` });
  };
  return (
    <div class="card jobs">
      <table>
        <caption class="hidden">Jobs</caption>
        <thead>
          <tr>
            <td>
              <input
                type="checkbox"
                aria-label="Select all jobs on this page"
                checked={isAll}
                onChange={() => list.choose(jobs, !isAll)}
              />
            </td>
            <SortHead label="Job" name="name" sort={sort} sortBy={sortBy} />
            {columns.map(({ key, title, isNumber }) => (
              <SortHead
                key={key}
                label={title}
                name={key}
                sort={sort}
                sortBy={sortBy}
                kind={isNumber ? "number" : undefined}
              />
            ))}
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => (
            <Row key={job.id} list={list} job={job} columns={columns} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface HeadProps {
  label: string;
  name: string;
  sort: string;
  sortBy: (name: string) => void;
  kind?: string;
}

function SortHead({ label, name, sort, sortBy, kind }: HeadProps) {
  const order = sort === name ? "ascending" : sort === `-${name}` ? "descending" : undefined;
  const arrow = order === "ascending" ? " ↑" : order ? " ↓" : "";
  return (
    <th scope="col" class={kind} aria-sort={order}>
      <button type="button" class="sort" onClick={() => sortBy(name)}>
        {label}
        <span aria-hidden="true">{arrow}</span>
      </button>
    </th>
  );
}

function Row({ list, job, columns }: { list: JobList; job: Job; columns: Column[] }) {
  const isChosen = list.chosen.value.has(job.id);
  const curve = list.curves.value.get(job.id)?.values ?? [];
  const about = [architectureOf(job), job.spec.data?.dataset, job.id.slice(0, 8)];
  const open = (click: MouseEvent) => {
    if (!(click.target as Element).closest("a, input, button, label")) {
      navigate(`#/jobs/${job.id}`);
    }
  };
  return (
    <tr aria-selected={isChosen ? "true" : undefined} onClick={open}>
      <td>
        <label class="box">
          <input
            type="checkbox"
            aria-label={`Select ${job.name}`}
            checked={isChosen}
            onChange={() => list.choose([job], !isChosen)}
          />
        </label>
      </td>
      <th scope="row" class="name">
        <a href={`#/jobs/${job.id}`} title={job.name}>
          {job.name}
        </a>
        <span>
          {job.pinned && "pinned · "}
          {about.filter(Boolean).join(" · ")}
        </span>
        {(job.tags.length > 0 || job.study) && (
          <div class="tags">
            <Tags job={job} />
          </div>
        )}
      </th>
      {columns.map((column) => (
        <td key={column.key} class={cellClass(column)}>
          {column.show(job, curve)}
        </td>
      ))}
    </tr>
  );
}

function cellClass({ kind, key, isNumber }: Column) {
  return [isNumber && "number", kind ?? (isNumber && key)].filter(Boolean).join(" ");
}
