// Sends files in parts. The number of received bytes is requested before each part, so that an
// upload continues where it stopped, also after a reload.

import { get, Refused, send } from "../api/client.ts";
import { wait } from "../api/stream.ts";

const PART_BYTES = 8 << 20;
const MAX_TRIES = 20;

interface Options {
  onProgress: (bytes: number) => void;
  signal: AbortSignal;
  replace?: boolean;
}

// `folder` is the path of the dataset or the evaluation task in the API.
export async function upload(folder: string, file: File, options: Options) {
  const { onProgress, signal, replace = false } = options;
  const query = new URLSearchParams({ name: file.name });
  if (replace) query.set("replace", "true");
  let failures = 0;
  for (;;) {
    try {
      const begin = await arrived(folder, file, signal);
      onProgress(begin);
      const end = Math.min(begin + PART_BYTES, file.size);
      const headers: Record<string, string> = { "Content-Type": "application/octet-stream" };
      // No range has zero bytes (RFC 9110, 14.4), so an empty file is sent without the header.
      if (file.size) headers["Content-Range"] = `bytes ${begin}-${end - 1}/${file.size}`;
      const body = await send<{ files: string[] }>(
        "POST",
        `${folder}/files?${query}`,
        file.slice(begin, end),
        { signal, headers, onProgress: (sent) => onProgress(begin + sent) },
      );
      failures = 0;
      if (end === file.size) return body!;
    } catch (error) {
      const isLost =
        error instanceof TypeError ||
        (error instanceof Refused && (error.problem.status ?? 0) >= 502);
      failures += 1;
      if (!isLost || failures > MAX_TRIES) throw error;
      await wait(Math.min(500 * 2 ** failures, 8000), signal);
      if (signal.aborted) throw new DOMException("stopped", "AbortError");
    }
  }
}

async function arrived(folder: string, file: File, signal: AbortSignal) {
  const known = await get<{ name: string; received: number }[]>(`${folder}/uploads`, signal);
  const received = known.find(({ name }) => name === file.name)?.received ?? 0;
  return received < file.size ? received : 0;
}
