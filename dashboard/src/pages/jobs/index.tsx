// The list of jobs.

import { useMemo, useRef } from "preact/hooks";
import { poll, wait } from "../../api/stream.ts";
import type { Job } from "../../api/types.ts";
import { setParameters } from "../../router.ts";
import { Button } from "../../ui/controls.tsx";
import { Failure, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { columnsOf, DEFAULT_COLUMNS } from "./columns.tsx";
import { Filters } from "./filters.tsx";
import { filterJobs, needsAll, parseConditions, type Query, readQuery, sortJobs } from "./query.ts";
import { Selection } from "./selection.tsx";
import { JobList } from "./store.ts";
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
    list.cursors.value = [];
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
  const { jobs, fault } = arranged(loaded ?? [], query, columns);
  const visible = columns.filter(({ key }) => (query.columns ?? DEFAULT_COLUMNS).includes(key));
  const shown = needsAll(query) ? jobs.slice(0, SHOWN) : jobs;
  return (
    <>
      <Filters {...{ list, query, change, columns, fault, jobs }} />
      {loaded && shown.length > 0 && (
        <JobTable {...{ list, jobs: shown, columns: visible, sort: query.sort, change }} />
      )}
      {loaded && !shown.length && <Nothing query={query} />}
      {needsAll(query) && <Extent jobs={jobs} list={list} />}
      {!needsAll(query) && <Pages list={list} />}
      <Selection list={list} lookAgain={lookAgain} />
    </>
  );
}

function arranged(loaded: Job[], query: Query, columns: ReturnType<typeof columnsOf>) {
  let fault = "";
  let conditions: ReturnType<typeof parseConditions> = [];
  try {
    conditions = parseConditions(query.where);
  } catch (error) {
    fault = (error as Error).message;
  }
  const jobs = filterJobs(loaded, query, conditions);
  const key = query.sort.replace(/^-/, "");
  const column = columns.find((one) => one.key === key);
  const value = key === "name" ? (job: Job) => job.name.toLowerCase() : column?.value;
  if (value) return { jobs: sortJobs(jobs, value, query.sort.startsWith("-")), fault };
  return { jobs: sortJobs(jobs, (job) => Number(job.pinned), true), fault };
}

function Nothing({ query }: { query: Query }) {
  if (query.status || query.search || query.tag || query.archived || needsAll(query)) {
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

function Extent({ jobs, list }: { jobs: Job[]; list: JobList }) {
  const loaded = list.jobs.value?.length ?? 0;
  const parts = [
    jobs.length > SHOWN && `The first ${SHOWN} of ${jobs.length} matching jobs are shown.`,
    list.next.value && `Only the newest ${loaded} jobs were searched and sorted.`,
  ].filter(Boolean);
  return parts.length ? <p class="soft small below">{parts.join(" ")}</p> : null;
}

function Pages({ list }: { list: JobList }) {
  const cursors = list.cursors.value;
  const next = list.next.value;
  if (!cursors.length && !next) return null;
  const go = async (values: string[]) => {
    list.cursors.value = values;
    await wait(0);
  };
  return (
    <div class="bar end">
      {cursors.length > 0 && <Button act={() => go(cursors.slice(0, -1))}>← Newer</Button>}
      {next && <Button act={() => go([...cursors, next])}>Older →</Button>}
    </div>
  );
}
