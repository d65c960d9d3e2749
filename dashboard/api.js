// The public API as this page uses it. Nothing here that a curl command could not do.

const KEY = "babylm-key";

function headers(extra = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}`, ...extra } : extra;
}

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail ?? "refused");
    this.problem = problem;
  }
}

async function request(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers(options.headers) });
  if (response.status === 401) {
    const key = window.prompt("This service needs a key (BABYLM_API_KEY):");
    if (key) {
      sessionStorage.setItem(KEY, key);
      return request(path, options);
    }
  }
  if (!response.ok) {
    let problem = { detail: `the service answered ${response.status}` };
    try {
      problem = await response.json();
    } catch { /* not a problem in JSON: the status must do */ }
    throw new Refused(problem);
  }
  return response;
}

export async function get(path) {
  return (await request(path)).json();
}

export async function text(path) {
  return (await request(path)).text();
}

export async function post(path, body) {
  const options = { method: "POST" };
  if (body !== undefined) {
    options.body = typeof body === "string" ? body : JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  return (await request(path, options)).json();
}

export async function remove(path) {
  await request(path, { method: "DELETE" });
}

export async function download(path, name) {
  if (!sessionStorage.getItem(KEY)) { // the browser's own download resumes and shows progress
    Object.assign(document.createElement("a"), { href: path, download: name }).click();
    return;
  }
  const blob = await (await request(path)).blob();
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Follows the events of a job from a number on, across lost connections, until the job's last one.
// EventSource cannot send a key, so the stream is read by hand.
export async function follow(job, after, onEvent, { signal, onConnection }) {
  while (!signal.aborted) {
    try {
      const response = await request(`/v1/jobs/${job}/events/stream?after=${after}`, { signal });
      onConnection(true);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let buffer = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return; // the service ends the stream after the last event
        buffer += value;
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
    } catch (error) {
      if (signal.aborted || (error instanceof Refused && error.problem.status === 404)) return;
      onConnection(false);
      await new Promise((wake) => setTimeout(wake, 1500));
    }
  }
}
