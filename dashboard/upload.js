// Sends files in pieces. What has arrived is asked for before each, so that an upload that broke off,
// or whose page was reloaded, goes on where it stopped.

import { get, Refused, send, wait } from "/static/api.js";

const PIECE_BYTES = 8 << 20;
const MAX_SILENT_TRIES = 20;

// `onProgress` hears of the bytes that have arrived.
export async function upload(dataset, file, { onProgress, signal, replace = false }) {
  const folder = `/v1/datasets/${encodeURIComponent(dataset)}`;
  const query = new URLSearchParams({ name: file.name });
  if (replace) query.set("replace", "true");
  let failures = 0;
  for (;;) {
    try {
      const begin = await arrived(folder, file, signal);
      onProgress(begin);
      const end = Math.min(begin + PIECE_BYTES, file.size);
      const piece = file.slice(begin, end);
      const headers = { "Content-Type": "application/octet-stream", "Content-Range": `bytes ${begin}-${end - 1}/${file.size}` };
      const { body } = await send("POST", `${folder}/files?${query}`, piece, { signal, headers, onProgress: (sent) => onProgress(begin + sent) });
      failures = 0;
      if (end === file.size) return body;
    } catch (error) {
      const isLost = error instanceof TypeError || (error instanceof Refused && error.problem.status >= 502);
      failures += 1;
      if (!isLost || failures > MAX_SILENT_TRIES) throw error;
      await wait(Math.min(500 * 2 ** failures, 8000), signal);
      if (signal?.aborted) throw new DOMException("stopped", "AbortError");
    }
  }
}

async function arrived(folder, file, signal) {
  const known = await get(`${folder}/uploads`, { signal });
  const received = known.find(({ name }) => name === file.name)?.received ?? 0;
  return received < file.size ? received : 0;
}
