// The list of jobs.

import { useMemo, useRef } from "preact/hooks";
import { poll, wait } from "../../api/stream.ts";
import type { Job } from "../../api/types.ts";
import { exact } from "../../lib/format.ts";
import { type SeedGroup, seedGroups, singleGroups } from "../../lib/seeds.ts";
import { setParameters } from "../../router.ts";
import { Button } from "../../ui/controls.tsx";
import { Failure, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { columnsOf, defaultColumns } from "./columns.tsx";
import { saveTable } from "./csv.ts";
import { Filters } from "./filters.tsx";
import {
  filterJobs,
  needsAll,
  parseConditions,
  type Query,
  readQuery,
  sortGroups,
} from "./query.ts";
import { Selection } from "./selection.tsx";
import { JobList, PAGE } from "./store.ts";
import { JobTable } from "./table.tsx";

const SHOWN = 200;
const SLOW_MILLISECONDS = 8000;

export function Jobs({ parameters }: PageProps) {
  useTitle("Jobs");
  const list = useMemo(() => new JobList(), []);
  const query = readQuery(parameters);
  const all = needsAll(query);
  const wake = useRef(() => {});
  const key = [
    query.status,
    query.search,
    query.tag,
    query.archived,
    query.sort,
    all,
    list.cursors.value.join(),
  ].join("\n");
  const { error, again } = useTask(
    (signal) => {
      const look = () => list.look(query, signal);
      wake.current = () => void look().catch(() => {});
      const every = all ? SLOW_MILLISECONDS : undefined;
      return poll(look, signal, every);
    },
    [key],
  );
  const change = (values: Partial<Record<keyof Query, string>>) => {
    const isView = Object.keys(values).every((name) => name === "open" || name === "columns");
    if (!isView) list.cursors.value = [];
    setParameters(values);
  };
  if (error) return <Failure error={error} again={again} />;
  return (
    <>
      <PageHead title="Jobs">
        <a class="button primary" href="#/new">
          New job
        </a>
      </PageHead>
      <Results list={list} query={query} change={change} lookAgain={() => wake.current()} />
    </>
  );
}

interface ResultsProps {
  list: JobList;
  query: Query;
  change: (values: Partial<Record<keyof Query, string>>) => void;
  lookAgain: () => void;
}

function Results({ list, query, change, lookAgain }: ResultsProps) {
  const loaded = list.jobs.value;
  const columns = columnsOf(loaded ?? []);
  const { jobs, fault } = arranged(loaded ?? [], query, list.sort.value);
  const isGrouped = Boolean(query.group);
  const groups = isGrouped
    ? sortGroups(seedGroups(jobs), list.sort.value, columns)
    : singleGroups(jobs);
  const defaults = defaultColumns(loaded ?? []);
  const visible = columns.filter(({ key }) => (query.columns ?? defaults).includes(key));
  const shown = groups.slice(0, needsAll(query) ? SHOWN : undefined);
  const { sort, open } = query;
  const saveCsv = () => saveTable(shown, visible, isGrouped);
  if (loaded?.length === 0 && !isFiltered(query)) return <NoJobs />;
  return (
    <>
      <Filters {...{ list, query, change, columns, defaults, fault, saveCsv }} />
      {loaded && shown.length > 0 && (
        <JobTable {...{ list, groups: shown, columns: visible, sort, open, change }} />
      )}
      {loaded && !shown.length && <NoMatch />}
      {needsAll(query) && <Extent groups={groups} isGrouped={isGrouped} list={list} />}
      {!needsAll(query) && <Pages list={list} isSorted={Boolean(sort)} />}
      <Selection list={list} group={query.group} lookAgain={lookAgain} />
    </>
  );
}

function arranged(loaded: Job[], query: Query, sort: string) {
  let fault = "";
  let conditions: ReturnType<typeof parseConditions> = [];
  try {
    conditions = parseConditions(query.where);
  } catch (error) {
    fault = (error as Error).message;
  }
  const jobs = filterJobs(loaded, query, conditions);
  if (sort) return { jobs, fault };
  const isPinned = ({ pinned }: Job) => pinned;
  return { jobs: [...jobs.filter(isPinned), ...jobs.filter((job) => !job.pinned)], fault };
}

function isFiltered(query: Query) {
  const { status, search, tag, archived } = query;
  return Boolean(status || search || tag || archived || needsAll({ ...query, group: "" }));
}

function NoMatch() {
  return (
    <div class="card empty">
      <h2>No matching job</h2>
      <p class="soft">No job matches this search and these filters.</p>
      <a class="button" href="#/">
        Show all jobs
      </a>
    </div>
  );
}

function NoJobs() {
  return (
    <div class="card empty">
      <h2>No jobs yet</h2>
      <p class="soft">The sample preset trains a small model in a few minutes, on any machine.</p>
      <a class="button primary" href="#/start">
        Train the first model
      </a>
    </div>
  );
}

interface ExtentProps {
  groups: SeedGroup[];
  isGrouped: boolean;
  list: JobList;
}

function Extent({ groups, isGrouped, list }: ExtentProps) {
  const loaded = list.jobs.value?.length ?? 0;
  const noun = isGrouped ? "rows" : "matching jobs";
  const parts = [
    groups.length > SHOWN && `The first ${SHOWN} of ${groups.length} ${noun} are shown.`,
    list.next.value && `Only the first ${loaded} jobs in this order were searched.`,
  ].filter(Boolean);
  return parts.length ? <p class="soft small below">{parts.join(" ")}</p> : null;
}

function Pages({ list, isSorted }: { list: JobList; isSorted: boolean }) {
  const cursors = list.cursors.value;
  const next = list.next.value;
  if (!cursors.length && !next) return null;
  const go = async (values: string[]) => {
    list.cursors.value = values;
    await wait(0);
  };
  const first = cursors.length * PAGE + 1;
  const last = first + (list.jobs.value?.length ?? 0) - 1;
  return (
    <div class="bar end">
      <span class="soft small">
        Jobs {exact(first)} to {exact(last)}
      </span>
      {cursors.length > 0 && (
        <Button act={() => go(cursors.slice(0, -1))}>← {isSorted ? "Previous" : "Newer"}</Button>
      )}
      {next && <Button act={() => go([...cursors, next])}>{isSorted ? "Next" : "Older"} →</Button>}
    </div>
  );
}
