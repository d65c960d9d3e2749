// Prevents pages from reading a path of the API that they delete. If a read reached the service
// after the deletion, the answer would be a 404. The browser would log it and the page would show
// it, although the user wanted the deletion.

import { navigate, rememberPage } from "../router.ts";

interface Read {
  path: string;
  stop: AbortController;
}
interface Deletion {
  path: string;
  // Resolves when the deletion has ended: to true if it succeeded.
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

// Never resolves; rejects when `signal` is aborted, which means that the page was removed.
function untilAborted(signal: AbortSignal) {
  return new Promise<never>((_, reject) => {
    const fail = () => reject(signal.reason);
    if (signal.aborted) fail();
    signal.addEventListener("abort", fail);
  });
}

// Reads a path. If the path or a parent of it is being deleted, waits until the deletion has ended.
// If the deletion failed, reads the path; if it succeeded, sends no request. If a deletion begins
// during a read, the read is aborted and then handled in the same way.
export async function readExisting<T>(
  path: string,
  signal: AbortSignal,
  read: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  for (;;) {
    const deletion = deletionOf(path);
    if (deletion && (await deletion.isGone)) return untilAborted(signal);
    if (deletion) continue;
    const active: Read = { path, stop: new AbortController() };
    const stop = active.stop.signal;
    reads.add(active);
    try {
      return await read(AbortSignal.any([signal, stop]));
    } catch (error) {
      if (signal.aborted || !stop.aborted) throw error;
    } finally {
      reads.delete(active);
    }
  }
}

// Deletes a path by `send`. After a success, opens `nextPage` if it is given and the user has not
// opened another page. The path stays in `deletions` until the current page has been removed, so
// that this page does not read the path again.
export async function deletePath(path: string, nextPage: string, send: () => Promise<unknown>) {
  const isSamePage = rememberPage();
  for (const read of reads) if (isBelow(read.path, path)) read.stop.abort();
  const sending = send();
  const isGone = sending.then(
    () => true,
    () => false,
  );
  const deletion = { path, isGone };
  deletions.add(deletion);
  try {
    await sending;
    if (nextPage && isSamePage()) await openPage(nextPage);
  } finally {
    deletions.delete(deletion);
  }
}

// Opens another page; resolves when the current page has been removed.
function openPage(page: string) {
  return new Promise((resolve) => {
    // The router listens first, and the page is removed before the next listener runs.
    addEventListener("hashchange", resolve, { once: true });
    navigate(page);
  });
}
