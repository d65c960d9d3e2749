// The rows of the list.

import { Fragment } from "preact";
import type { Job } from "../../api/types.ts";
import { architectureOf } from "../../lib/jobs.ts";
import type { SeedGroup } from "../../lib/seeds.ts";
import { navigate } from "../../router.ts";
import { Tags } from "../../ui/status.tsx";
import { type Column, cellClass, labelOf } from "./columns.tsx";
import { GroupRow } from "./groups.tsx";
import type { JobList } from "./store.ts";

interface Props {
  list: JobList;
  groups: SeedGroup[];
  columns: Column[];
  sort: string;
  open: string;
  change: (values: { sort?: string; open?: string }) => void;
}

export function JobTable({ list, groups, columns, sort, open, change }: Props) {
  const chosen = list.chosen.value;
  const jobs = groups.flatMap((group) => group.jobs);
  const isAll = jobs.every(({ id }) => chosen.has(id));
  const sortBy = (key: string) => {
    // The first click sorts in descending order, the second in ascending order, and the third
    // restores the order with the newest job first.
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
            <SortHead label="Job" name="name" sort={list.sort.value} sortBy={sortBy} />
            {columns.map(({ key, title, isNumber, sort: name }) => (
              <SortHead
                key={key}
                label={title}
                name={name}
                sort={list.sort.value}
                sortBy={sortBy}
                kind={isNumber ? "number" : undefined}
              />
            ))}
          </tr>
        </thead>
        <tbody>
          <Rows list={list} groups={groups} columns={columns} open={open} change={change} />
        </tbody>
      </table>
    </div>
  );
}

function Rows({ list, groups, columns, open, change }: Omit<Props, "sort">) {
  const unfolded = open.split(",").filter(Boolean);
  const toggle = (id: string) => {
    const others = unfolded.filter((one) => one !== id);
    change({ open: (others.length < unfolded.length ? others : [...unfolded, id]).join() });
  };
  const row = (job: Job, isMember = false) => (
    <Row key={job.id} list={list} job={job} columns={columns} isMember={isMember} />
  );
  return (
    <>
      {groups.map((group) => {
        if (group.jobs.length === 1) return row(group.jobs[0]);
        const isOpen = unfolded.includes(group.id);
        return (
          <Fragment key={group.id}>
            <GroupRow {...{ list, group, columns, isOpen }} toggle={() => toggle(group.id)} />
            {isOpen && group.jobs.map((job) => row(job, true))}
          </Fragment>
        );
      })}
    </>
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
  const arrow = order === "ascending" ? "↑" : order ? "↓" : "↕";
  return (
    <th scope="col" class={kind} aria-sort={order}>
      <button type="button" class="sort" onClick={() => sortBy(name)}>
        {label}
        <span aria-hidden="true">{arrow}</span>
      </button>
    </th>
  );
}

interface RowProps {
  list: JobList;
  job: Job;
  columns: Column[];
  isMember: boolean;
}

function Row({ list, job, columns, isMember }: RowProps) {
  const isChosen = list.chosen.value.has(job.id);
  const curve = list.curves.value.get(job.id)?.values ?? [];
  const about = [architectureOf(job), job.spec.data?.dataset, job.id.slice(0, 8)];
  const open = (click: MouseEvent) => {
    if (!(click.target as Element).closest("a, input, button, label")) {
      navigate(`#/jobs/${job.id}`);
    }
  };
  return (
    <tr
      class={isMember ? "seed-of" : undefined}
      aria-selected={isChosen ? "true" : undefined}
      onClick={open}
    >
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
        <td key={column.key} class={cellClass(column)} data-label={labelOf(column)}>
          {column.show(job, curve)}
        </td>
      ))}
    </tr>
  );
}
