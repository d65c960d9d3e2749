// Deletes what pages read. A read that reaches the service after the deletion would get a 404,
// which the browser logs and the page shows, although the user asked for the deletion.

import { navigate } from "../router.ts";

interface Read {
  path: string;
  stop: AbortController;
}
interface Deletion {
  path: string;
  isGone: Promise<boolean>;
}

const reads = new Set<Read>();
const deletions = new Set<Deletion>();

function isBelow(path: string, folder: string) {
  return path === folder || path.startsWith(`${folder}/`) || path.startsWith(`${folder}?`);
}

function deletionOf(path: string) {
  return [...deletions].find((deletion) => isBelow(path, deletion.path));
}

export function isBeingDeleted(path: string) {
  return deletionOf(path) !== undefined;
}

// Waits until the page that reads is removed.
function aborted(signal: AbortSignal | undefined) {
  return new Promise<never>((_, reject) => {
    const fail = () => reject(signal?.reason);
    if (signal?.aborted) fail();
    signal?.addEventListener("abort", fail);
  });
}

// Reads a path. If the path or a parent of it is being deleted, waits for the end of the deletion:
// after a failure of the deletion, reads again; after a success, sends no request.
export async function readExisting<T>(
  path: string,
  signal: AbortSignal | undefined,
  read: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  for (;;) {
    const deletion = deletionOf(path);
    if (deletion && (await deletion.isGone)) return aborted(signal);
    if (deletion) continue;
    const active: Read = { path, stop: new AbortController() };
    const stop = active.stop.signal;
    reads.add(active);
    try {
      return await read(signal ? AbortSignal.any([signal, stop]) : stop);
    } catch (error) {
      if (signal?.aborted || !stop.aborted) throw error;
    } finally {
      reads.delete(active);
    }
  }
}

// Sends the deletion of a path. If `leave` is given, opens this page afterwards, and holds the reads
// of the path until the current page is removed.
export async function deleting(path: string, leave: string, send: () => Promise<unknown>) {
  let end = (_isGone: boolean) => {};
  const isGone = new Promise<boolean>((resolve) => {
    end = resolve;
  });
  const deletion = { path, isGone };
  deletions.add(deletion);
  for (const read of reads) if (isBelow(read.path, path)) read.stop.abort();
  try {
    await send();
    end(true);
    if (leave) await opened(leave);
  } finally {
    deletions.delete(deletion);
    end(false); // has no effect after a success
  }
}

function opened(page: string) {
  return new Promise((resolve) => {
    // The router listens first, and the page is removed before the next listener runs.
    addEventListener("hashchange", resolve, { once: true });
    if (location.hash === page) resolve(null);
    else navigate(page);
  });
}
