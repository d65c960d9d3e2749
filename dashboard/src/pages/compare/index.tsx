// Compares runs: results, curves and differences between their specs. The address contains the ids
// of the runs.

import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../../api/client.ts";
import { poll } from "../../api/stream.ts";
import type { Job, JobPage } from "../../api/types.ts";
import { Charts } from "../../charts/charts.tsx";
import { COLOURS } from "../../charts/plot.ts";
import { isJobId } from "../../lib/ids.ts";
import { isTokenizer } from "../../lib/jobs.ts";
import { setParameters } from "../../router.ts";
import { Failure, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import { StatusBadge } from "../../ui/status.tsx";
import type { PageProps } from "../index.tsx";
import { Results } from "./results.tsx";
import { Specs } from "./specs.tsx";
import { CompareStore } from "./store.ts";

const LOOK_MILLISECONDS = 4000;
const TYPING_MILLISECONDS = 250;
const OFFERED = 8;

export function ComparePage({ parameters }: PageProps) {
  useTitle("Compare");
  const ids = [...new Set((parameters.get("jobs") ?? "").split(",").filter(isJobId))];
  const [store] = useState(() => new CompareStore());
  const { error, again } = useTask(
    (signal) => poll(() => store.look(ids, signal), signal, LOOK_MILLISECONDS),
    [ids.join()],
  );
  if (error) return <Failure error={error} again={again} />;
  store.version.value;
  const runs = store.runs(ids);
  const choose = (wanted: string[]) => setParameters({ jobs: wanted.join(",") });
  return (
    <>
      <PageHead title="Compare runs" />
      <section class="card" aria-label="Runs">
        <Chosen runs={runs} store={store} choose={choose} />
        <Finder ids={ids} choose={choose} />
      </section>
      {runs.length > 0 && (
        <div class="stack below">
          <Results runs={runs} store={store} baseline={parameters.get("baseline")} />
          <div>
            <Charts
              runs={runs.map((job) => ({
                id: job.id,
                label: store.labelOf(job),
                series: store.seriesOf(job.id),
              }))}
              version={store.version.value}
              isLoading={store.isLoading}
            />
          </div>
          <Specs runs={runs} store={store} />
        </div>
      )}
    </>
  );
}

interface ChosenProps {
  runs: Job[];
  store: CompareStore;
  choose: (ids: string[]) => void;
}

function Chosen({ runs, store, choose }: ChosenProps) {
  if (!runs.length) {
    return <p class="soft">Choose two or more runs to compare.</p>;
  }
  return (
    <ul class="legend chosen" aria-label="Runs">
      {runs.map((job, index) => (
        <li key={job.id} class={`c${(index % COLOURS) + 1}`}>
          <a href={`#/jobs/${job.id}`}>{store.labelOf(job)}</a>
          <StatusBadge job={job} />
          <button
            type="button"
            class="quiet"
            aria-label={`Remove ${job.name}`}
            onClick={() => choose(runs.map(({ id }) => id).filter((id) => id !== job.id))}
          >
            Remove
          </button>
        </li>
      ))}
    </ul>
  );
}

function Finder({ ids, choose }: { ids: string[]; choose: (ids: string[]) => void }) {
  const [text, setText] = useState("");
  const [found, setFound] = useState<Job[] | null>(null);
  const [isOpen, setOpen] = useState(ids.length < 2);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (!isOpen) return;
    const controller = new AbortController();
    const look = async () => {
      const query = text ? `&search=${encodeURIComponent(text)}` : "";
      try {
        const path = `/v1/jobs?limit=${OFFERED}${query}`;
        setFound((await get<JobPage>(path, controller.signal)).data);
      } catch {
        // a lost connection, which the polling of the page reports
      }
    };
    const timer = setTimeout(look, TYPING_MILLISECONDS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [text, isOpen]);
  const free = found?.filter((job) => !ids.includes(job.id) && !isTokenizer(job));
  const add = (id: string) => {
    choose([...ids, id]);
    setText("");
    setOpen(ids.length < 1);
    field.current?.focus({ preventScroll: true });
  };
  return (
    <>
      <input
        ref={field}
        type="search"
        placeholder="Add a run: name or id"
        aria-label="Find a run to add"
        value={text}
        onFocus={() => setOpen(true)}
        onInput={(event) => {
          setText(event.currentTarget.value.trim());
          setOpen(true);
        }}
      />
      <div class="found" role="status">
        {isOpen &&
          free?.map((job) => (
            <button key={job.id} type="button" onClick={() => add(job.id)}>
              {job.name}
              <small class="soft">{job.id.slice(0, 6)}</small>
            </button>
          ))}
        {isOpen && free?.length === 0 && (
          <span class="soft">{text ? "No other run matches." : "There is no other run."}</span>
        )}
      </div>
    </>
  );
}
