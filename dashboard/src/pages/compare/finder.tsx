// Finds runs by name or id, and adds them to the comparison.

import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../../api/client.ts";
import type { Job, JobPage } from "../../api/types.ts";
import { isTokenizer } from "../../lib/jobs.ts";

const TYPING_MILLISECONDS = 250;
const OFFERED = 8;

interface Props {
  ids: string[];
  choose: (ids: string[]) => void;
}

export function Finder({ ids, choose }: Props) {
  const [text, setText] = useState("");
  const [isOpen, setOpen] = useState(ids.length < 2);
  const found = useFound(text, isOpen);
  const field = useRef<HTMLInputElement>(null);
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
          <span class="soft">
            {text ? "No other run matches." : ids.length ? "There is no other run." : <NoRuns />}
          </span>
        )}
      </div>
    </>
  );
}

function NoRuns() {
  return (
    <>
      There are no runs yet. <a href="#/start">Train the first model</a>
    </>
  );
}

// The newest jobs that match a text, requested after a short pause in typing.
function useFound(text: string, isOpen: boolean): Job[] | null {
  const [found, setFound] = useState<Job[] | null>(null);
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
  return found;
}
