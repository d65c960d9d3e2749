// Client of the public HTTP API: requests with the API key, downloads and uploads.

import { isConnected } from "../lib/state.ts";
import { ask } from "../ui/dialog.tsx";
import { deletePath, readExisting } from "./deletion.ts";
import type { Problem } from "./types.ts";

const KEY = "babylm-key";
const REVOKE_MILLISECONDS = 60_000;

let asking: Promise<boolean> | null = null;
// Number of times that the user has cancelled the prompt for a key.
let numCancelled = 0;

export class Refused extends Error {
  problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail ?? "The service refused the request.");
    this.problem = problem;
  }
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

function authorized(
  extra: Record<string, string> = {},
  key = sessionStorage.getItem(KEY),
): Record<string, string> {
  return key ? { Authorization: `Bearer ${key}`, ...extra } : extra;
}

// Asks the user for another key after a refused request; returns whether the tab has one now.
// `refused` is the key of the request, or null if it had none. `before` is the value of
// `numCancelled` when the request was sent. If several requests are refused, the user is asked only
// once, even if some of the answers arrive after the user's decision.
async function anotherKey(refused: string | null, before: number): Promise<boolean> {
  const key = sessionStorage.getItem(KEY);
  if (numCancelled > before) return key !== null && key !== refused;
  if (key !== refused) return true;
  asking ??= ask("This service requires an API key", {
    detail:
      "The service accepts the keys that its setting BABYLM_API_KEY lists. The browser keeps the key until you close this tab.",
    fault:
      refused === null
        ? undefined
        : "The service does not accept this key. Check it for typing errors.",
    confirm: "Use this key",
    refuse: "Cancel",
    input: { label: "Key", type: "password" },
  })
    .then((key) => {
      if (key) sessionStorage.setItem(KEY, String(key).trim());
      else {
        sessionStorage.removeItem(KEY);
        numCancelled += 1;
      }
      return Boolean(key);
    })
    .finally(() => {
      asking = null;
    });
  return asking;
}

type Options = Omit<RequestInit, "headers"> & { headers?: Record<string, string> };

// Sends a request with a key. A response hides the banner of a lost connection, unless its status
// is 500 or more: a proxy sends such a status if it cannot reach the service.
async function fetchWithKey(path: string, options: Options, key: string | null) {
  const response = await fetch(path, { ...options, headers: authorized(options.headers, key) });
  if (response.status < 500) isConnected.value = true;
  return response;
}

export async function request(path: string, options: Options = {}): Promise<Response> {
  const [key, before] = [sessionStorage.getItem(KEY), numCancelled];
  const response = await fetchWithKey(path, options, key);
  if (response.status === 401 && (await anotherKey(key, before))) return request(path, options);
  if (!response.ok) throw new Refused(await problemOf(response));
  return response;
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    return await response.json();
  } catch {
    return {
      detail: `The service returned the status ${response.status}.`,
      status: response.status,
    };
  }
}

// The key of the last background request that the service refused; undefined: none was refused.
let refusedKey: string | null | undefined;

// Sends a background request. Returns the answer, undefined if the service has nothing at the path
// (404), or null if there is no answer for another reason. Never asks for a key: after a refusal,
// returns null until the page has another key.
export async function peek<T>(path: string, signal?: AbortSignal): Promise<T | null | undefined> {
  const key = sessionStorage.getItem(KEY);
  if (key === refusedKey) return null;
  try {
    const response = await fetchWithKey(path, { signal }, key);
    if (response.status === 401) refusedKey = key;
    if (response.status === 404) return undefined;
    return response.ok ? await response.json() : null;
  } catch {
    return null; // the pages report a lost connection
  }
}

export function get<T>(path: string, signal: AbortSignal): Promise<T> {
  return readExisting(path, signal, async (signal) => (await request(path, { signal })).json());
}

async function send_<T>(
  method: string,
  path: string,
  body: unknown,
  signal?: AbortSignal,
  headers: Record<string, string> = {},
) {
  const options: Options = { method, signal, headers };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { ...headers, "Content-Type": "application/json" };
  }
  const response = await request(path, options);
  return (response.status === 204 ? null : await response.json()) as T;
}

export function post<T>(
  path: string,
  body?: unknown,
  signal?: AbortSignal,
  headers?: Record<string, string>,
): Promise<T> {
  return send_("POST", path, body, signal, headers);
}

export function patch<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return send_("PATCH", path, body, signal);
}

// Deletes a path of the API, and then opens `nextPage` if it is given. A page that shows the path
// must give it, because the page cannot stay open.
export async function remove(path: string, nextPage = ""): Promise<void> {
  await deletePath(path, nextPage, () => request(path, { method: "DELETE" }));
}

// Lets the browser save a blob as a file with this name.
export function save(blob: Blob, name: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_MILLISECONDS);
}

// Downloads a file. With a key, the page fetches the file itself and calls `onProgress` with the
// number of received bytes.
export async function download(path: string, name: string, onProgress?: (bytes: number) => void) {
  if (!hasKey()) {
    // The browser's own download resumes and shows progress, but cannot send a key.
    Object.assign(document.createElement("a"), { href: path, download: name }).click();
    return;
  }
  let received = 0;
  const counted = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, out) {
      received += chunk.byteLength;
      onProgress?.(received);
      out.enqueue(chunk);
    },
  });
  const body = (await request(path)).body!.pipeThrough(counted);
  save(await new Response(body).blob(), name);
}

interface SendOptions {
  onProgress: (bytes: number) => void;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

// Sends a part of a file by XMLHttpRequest, because fetch reports no upload progress.
export function send<T>(method: string, path: string, blob: Blob, options: SendOptions) {
  return new Promise<T | null>((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open(method, path);
    for (const [name, value] of Object.entries(authorized(options.headers))) {
      call.setRequestHeader(name, value);
    }
    call.upload.addEventListener("progress", (event) => options.onProgress(event.loaded));
    call.addEventListener("load", () => {
      let body = null;
      try {
        body = JSON.parse(call.responseText);
      } catch {
        // the response has the status 204 or is not JSON
      }
      if (call.status < 300) resolve(body);
      else {
        const detail = `The service returned the status ${call.status}.`;
        reject(new Refused(body ?? { detail, status: call.status }));
      }
    });
    call.addEventListener("error", () =>
      reject(new TypeError("The connection to the service was lost.")),
    );
    call.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    options.signal?.addEventListener("abort", () => call.abort());
    call.send(blob);
  });
}
