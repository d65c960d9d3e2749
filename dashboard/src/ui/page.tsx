// Parts of every page: the heading, loading of data, and the message if loading failed.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Refused } from "../api/client.ts";
import { wait } from "../api/stream.ts";
import { isConnected } from "../lib/state.ts";

const RETRY_MILLISECONDS = 1500;
// Number of times that a page is loaded again if a request failed although the service is reachable.
const MAX_RETRIES = 3;

interface HeadProps {
  title: string;
  note?: ComponentChildren;
  children?: ComponentChildren;
}

export function PageHead({ title, note, children }: HeadProps) {
  return (
    <div class="page-head">
      <div>
        <h1>{title}</h1>
        {note && <p>{note}</p>}
      </div>
      {children && <div class="bar">{children}</div>}
    </div>
  );
}

export function useTitle(title: string) {
  useEffect(() => {
    document.title = `${title} – BabyLM`;
  }, [title]);
}

async function isReachable() {
  try {
    await fetch("/healthz");
    return true;
  } catch {
    return false;
  }
}

export interface Task {
  error: Error | null;
  again: () => void;
}

// Runs `work` until the component is removed or `keys` change. Runs it again if a request gets no
// answer: without limit while the service is not reachable, and at most MAX_RETRIES times in a row
// if the service is reachable, for example after a restart. Returns the error if the retries are
// used up, and any other error at once.
export function useTask(work: (signal: AbortSignal) => Promise<void>, keys: unknown[]): Task {
  const [error, setError] = useState<Error | null>(null);
  const [attempt, setAttempt] = useState(0);
  const retries = useRef(0);
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    setError(null);
    const fail = async (problem: Error) => {
      if (signal.aborted) return;
      if (!(problem instanceof TypeError)) return setError(problem);
      if (await isReachable()) retries.current += 1;
      else {
        retries.current = 0;
        isConnected.value = false;
      }
      if (signal.aborted) return;
      if (retries.current > MAX_RETRIES) return setError(problem);
      await wait(RETRY_MILLISECONDS, signal);
      if (!signal.aborted) setAttempt((number) => number + 1);
    };
    const succeed = () => {
      retries.current = 0;
    };
    work(signal).then(succeed, fail);
    return () => controller.abort();
  }, [...keys, attempt]);
  const again = () => {
    retries.current = 0;
    setAttempt((number) => number + 1);
  };
  return { error, again };
}

const HEADINGS: Record<number, string> = { 401: "API key required", 404: "Not found" };

export function Failure({ error, again }: { error: Error; again?: () => void }) {
  const status = error instanceof Refused ? (error.problem.status ?? 0) : 0;
  return (
    <>
      <PageHead title={HEADINGS[status] ?? "This page could not be loaded"} />
      <p class="notice error" role="alert">
        {error.message}
      </p>
      <div class="bar">
        {again && (
          <button type="button" class="primary" onClick={again}>
            Try again
          </button>
        )}
        <a class="button" href="#/">
          All jobs
        </a>
      </div>
    </>
  );
}

export function NotFound({ children }: { children: ComponentChildren }) {
  return (
    <>
      <PageHead title="Not found" />
      <p class="notice error" role="alert">
        {children}
      </p>
      <div class="bar">
        <a class="button primary" href="#/">
          All jobs
        </a>
      </div>
    </>
  );
}

export function NotAJob({ id }: { id: string }) {
  return (
    <NotFound>
      “{id}” is not the id of a job: an id has 32 digits and letters from a to f. Check the address.
    </NotFound>
  );
}
