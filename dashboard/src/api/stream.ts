// Polls the service, and follows the events and the log of a job; reconnects if necessary.

import { isFinal } from "../lib/jobs.ts";
import { isConnected } from "../lib/state.ts";
import { get, Refused, request } from "./client.ts";
import type { Job, JobEvent } from "./types.ts";

const RETRY_MILLISECONDS = 1500;
// The service sends a keep-alive every 15 s; a stream that is silent for longer is dead.
const SILENCE_MILLISECONDS = 40_000;
const OFFLINE = "the machine is offline";

// Waits. Returns early if `signal` is aborted or the machine is online again.
export function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = new AbortController(); // removes the listeners, so that they do not accumulate
    const wake = () => {
      clearTimeout(timer);
      over.abort();
      resolve();
    };
    const timer = setTimeout(wake, milliseconds);
    signal?.addEventListener("abort", wake, { signal: over.signal });
    addEventListener("online", wake, { signal: over.signal });
  });
}

// Shows that the connection is lost if this is the cause of `error`; throws any other error.
function showLostConnection(error: unknown) {
  const status = error instanceof Refused ? (error.problem.status ?? 0) : null;
  if (status === null ? !(error instanceof TypeError) : status < 500) throw error;
  isConnected.value = false;
}

// Reads once; if the connection is lost, tries again until the read succeeds.
export async function retryRead(read: () => Promise<void>, signal: AbortSignal) {
  while (!signal.aborted) {
    try {
      return await read();
    } catch (error) {
      if (signal.aborted) return;
      showLostConnection(error);
    }
    await wait(RETRY_MILLISECONDS, signal);
  }
}

// Calls `look` now and at an interval while the page is visible. If the connection is lost, the
// page shows this and polling continues. If the service refuses a request, polling stops and throws
// the error.
export async function poll(look: () => Promise<void>, signal: AbortSignal, milliseconds = 2000) {
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        await look();
      } catch (error) {
        if (signal.aborted) return;
        showLostConnection(error);
      }
    }
    await wait(milliseconds, signal);
  }
}

type Open = (signal: AbortSignal) => Promise<Response>;

// Yields the text of the response that `open` requests, as it arrives. A dead connection gives no
// error, so this fails if the response brings no text for `silence` milliseconds. It also fails as
// soon as the machine goes offline, even while the request still waits for its response.
export async function* chunks(
  open: Open,
  signal: AbortSignal,
  silence: number,
): AsyncGenerator<string> {
  const lost = new AbortController();
  const fail = (reason: string) => lost.abort(new TypeError(reason));
  addEventListener("offline", () => fail(OFFLINE), { signal: lost.signal });
  try {
    const response = await open(AbortSignal.any([signal, lost.signal]));
    const decoder = new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>;
    const reader = response.body!.pipeThrough(decoder).getReader();
    for (;;) {
      const timer = setTimeout(() => fail("The service sent nothing for too long."), silence);
      const { value, done } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw lost.signal.aborted ? lost.signal.reason : error;
  } finally {
    lost.abort(); // removes the listener and closes the connection
  }
}

// Yields the data of each server-sent event of a response, parsed as JSON; skips keep-alives.
export async function* messages<T>(
  open: Open,
  signal: AbortSignal,
  silence: number,
): AsyncGenerator<T> {
  let buffer = "";
  for await (const chunk of chunks(open, signal, silence)) {
    const parts = (buffer + chunk).split("\n\n");
    buffer = parts.pop()!;
    for (const part of parts) {
      const lines = part.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield JSON.parse(lines.map((line) => line.slice(5)).join("\n"));
    }
  }
}

function isFinalRefusal(error: unknown) {
  return error instanceof Refused && [401, 403, 404].includes(error.problem.status ?? 0);
}

async function isUnfinished(job: string, signal: AbortSignal) {
  return !isFinal(await get<Job>(`/v1/jobs/${job}`, signal));
}

// Follows the events of a job after the sequence number `after`, up to the last event of the job.
// Returns the sequence number of the last event that it received.
// Reads the stream with fetch, because EventSource cannot send a key.
export async function follow(
  job: string,
  after: number,
  onEvent: (event: JobEvent) => void,
  signal: AbortSignal,
): Promise<number> {
  let last = after;
  const open = (signal: AbortSignal) =>
    request(`/v1/jobs/${job}/events/stream?after=${last}`, { signal });
  while (!signal.aborted) {
    try {
      for await (const event of messages<JobEvent>(open, signal, SILENCE_MILLISECONDS)) {
        if (event.seq <= last) continue;
        last = event.seq;
        onEvent(event);
      }
      if (!signal.aborted && !(await isUnfinished(job, signal))) return last; // closed after the last event
    } catch (error) {
      if (signal.aborted) return last;
      if (isFinalRefusal(error)) throw error;
      // A service on this machine can be reached offline too: reconnect at once.
      if ((error as Error).message === OFFLINE) continue;
      isConnected.value = false;
    }
    await wait(RETRY_MILLISECONDS, signal);
  }
  return last;
}

interface LogOptions {
  signal: AbortSignal;
  onStart: () => void;
  onText: (text: string) => void;
}

// Follows the log from its last 2,000 lines on; after a lost connection, reads these lines again.
export async function followLog(job: string, { signal, onStart, onText }: LogOptions) {
  const open = async (signal: AbortSignal) => {
    const response = await request(`/v1/jobs/${job}/logs?tail=2000&follow=true`, { signal });
    onStart();
    return response;
  };
  while (!signal.aborted) {
    try {
      for await (const chunk of chunks(open, signal, 2 ** 31 - 1)) onText(chunk);
      if (!(await isUnfinished(job, signal))) return;
    } catch (error) {
      if (signal.aborted || isFinalRefusal(error)) return;
    }
    await wait(RETRY_MILLISECONDS, signal);
  }
}
