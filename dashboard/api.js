// The public API as this page uses it. Nothing here that a curl command could not do.

import { ask } from "/static/dom.js";

const KEY = "babylm-key";
const RETRY_MILLISECONDS = 1500;
// The service sends a sign of life every 15 s; a stream that is silent for longer is dead, as after sleep.
const SILENCE_MILLISECONDS = 40000;
const OFFLINE = "the machine is offline";

let asking = null;

function headers(extra = {}, key = sessionStorage.getItem(KEY)) {
  return key ? { Authorization: `Bearer ${key}`, ...extra } : extra;
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail ?? "refused");
    this.problem = problem;
  }
}

// True when there is a key to try in place of the one that was refused (null: none was sent). However many
// requests are refused at once, one question is asked.
async function anotherKey(refused) {
  if (sessionStorage.getItem(KEY) !== refused) return true; // it was given while this request was under way
  asking ??= ask("This service needs a key", {
    detail: "One of those in BABYLM_API_KEY. It is kept until this tab is closed.",
    fault: refused === null ? null : "The service does not know that key. Look for spaces and letters that are missing.",
    confirm: "Use this key", input: { label: "Key", type: "password" },
  }).then((key) => {
    if (key) sessionStorage.setItem(KEY, key.trim());
    else sessionStorage.removeItem(KEY);
    return Boolean(key);
  }).finally(() => { asking = null; });
  return asking;
}

export async function request(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const response = await fetch(path, { ...options, headers: headers(options.headers, key) });
  if (response.status === 401 && await anotherKey(key)) return request(path, options);
  if (!response.ok) {
    let problem = { detail: `the service answered ${response.status}`, status: response.status };
    try {
      problem = await response.json();
    } catch { /* not a problem in JSON: the status must do */ }
    throw new Refused(problem);
  }
  return response;
}

export async function get(path, options) {
  return (await request(path, options)).json();
}

export async function text(path) {
  return (await request(path)).text();
}

export async function post(path, body, options = {}) {
  const sent = { method: "POST", ...options };
  if (body !== undefined) {
    sent.body = typeof body === "string" ? body : JSON.stringify(body);
    sent.headers = { "Content-Type": "application/json" };
  }
  const response = await request(path, sent);
  return response.status === 204 ? null : response.json();
}

export async function remove(path) {
  await request(path, { method: "DELETE" });
}

// `onProgress` hears of the bytes that have come, where the page has to fetch them itself.
export async function download(path, name, onProgress) {
  if (!hasKey()) { // the browser's own download resumes and shows progress, but cannot send a key
    Object.assign(document.createElement("a"), { href: path, download: name }).click();
    return;
  }
  let received = 0;
  const counted = new TransformStream({
    transform(chunk, out) {
      received += chunk.byteLength;
      onProgress?.(received);
      out.enqueue(chunk);
    },
  });
  const blob = await new Response((await request(path)).body.pipeThrough(counted)).blob();
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Sends a part of a file; `onProgress` hears of the bytes that have left. fetch cannot tell those.
export function send(method, path, blob, { onProgress, signal, headers: extra = {} }) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open(method, path);
    for (const [name, value] of Object.entries(headers(extra))) call.setRequestHeader(name, value);
    call.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    call.addEventListener("load", () => {
      let body = null;
      try { body = JSON.parse(call.responseText); } catch { /* 204, or not JSON */ }
      if (call.status < 300) resolve({ body, headers: call });
      else reject(new Refused(body ?? { detail: `the service answered ${call.status}`, status: call.status }));
    });
    call.addEventListener("error", () => reject(new TypeError("the connection was lost")));
    call.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    signal?.addEventListener("abort", () => call.abort());
    call.send(blob);
  });
}

// Sleeps; wakes early when the page is left or the machine is online again.
export function wait(milliseconds, signal) {
  return new Promise((resolve) => {
    const over = new AbortController(); // takes the listeners away: a page may be open for weeks
    const wake = () => { clearTimeout(timer); over.abort(); resolve(); };
    const timer = setTimeout(wake, milliseconds);
    signal?.addEventListener("abort", wake, { signal: over.signal });
    addEventListener("online", wake, { signal: over.signal });
  });
}

// Calls `look` now and every so often while the page can be seen; a lost connection is shown, and
// looking goes on. What the service refuses ends it.
export async function poll(look, { signal, onConnection, milliseconds = 2000 }) {
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        await look();
        if (!signal.aborted) onConnection(true);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && error.problem.status < 500) throw error;
        onConnection(false);
      }
    }
    await wait(milliseconds, signal);
  }
}

// The text of a response as it comes; fails when nothing has come for too long, or the machine goes
// offline: a connection that is dead then would only be known by its silence.
async function* chunks(response, silence) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const over = new AbortController();
  const offline = new Promise((_, reject) => {
    addEventListener("offline", () => reject(new TypeError(OFFLINE)), { signal: over.signal });
  });
  offline.catch(() => {}); // it may come between two reads
  try {
    for (;;) {
      let timer;
      const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new TypeError("silent")), silence); });
      const { value, done } = await Promise.race([reader.read(), late, offline]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    over.abort();
    reader.cancel().catch(() => {});
  }
}

// What no later try will change: the job is gone, or the key is refused.
function isFinalRefusal(error) {
  return error instanceof Refused && [401, 403, 404].includes(error.problem.status);
}

// Follows the events of a job from a number on, across lost connections, until the job's last one.
// EventSource cannot send a key, so the stream is read by hand.
export async function follow(job, after, onEvent, { signal, onConnection }) {
  while (!signal.aborted) {
    try {
      const response = await request(`/v1/jobs/${job}/events/stream?after=${after}`, { signal });
      onConnection(true);
      let buffer = "";
      for await (const chunk of chunks(response, SILENCE_MILLISECONDS)) {
        buffer += chunk;
        const parts = buffer.split("\n\n");
        buffer = parts.pop();
        for (const part of parts) {
          const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
          if (!data) continue;
          const event = JSON.parse(data);
          if (event.seq <= after) continue;
          after = event.seq;
          onEvent(event);
        }
      }
      if (!signal.aborted && !(await isRunning(job))) return after; // it ends the stream after the last event
    } catch (error) {
      if (signal.aborted) return after;
      if (isFinalRefusal(error)) throw error;
      if (error.message === OFFLINE) continue; // a service on this machine can still be reached
      onConnection(false);
    }
    await wait(RETRY_MILLISECONDS, signal);
  }
  return after;
}

async function isRunning(job) {
  return !["succeeded", "failed", "cancelled"].includes((await get(`/v1/jobs/${job}`)).status);
}

// The log from its last lines on, as it is written. After a lost connection it is read anew.
export async function followLog(job, { signal, onStart, onText, tail = 2000 }) {
  while (!signal.aborted) {
    try {
      const response = await request(`/v1/jobs/${job}/logs?tail=${tail}&follow=true`, { signal });
      onStart();
      for await (const chunk of chunks(response, 2 ** 31 - 1)) onText(chunk);
      if (!(await isRunning(job))) return;
    } catch (error) {
      if (signal.aborted || isFinalRefusal(error)) return;
    }
    await wait(RETRY_MILLISECONDS, signal);
  }
}
