// Browser notifications at the end of jobs that the user chose in this tab.

import { signal } from "@preact/signals";
import { peek } from "../api/client.ts";
import { wait } from "../api/stream.ts";
import type { Job } from "../api/types.ts";
import { isFinal } from "./jobs.ts";

const KEY = "babylm-notify";
const LOOK_MILLISECONDS = 5000;

// The ids of the jobs to notify about. They survive a reload of the tab.
export const notified = signal<Set<string>>(
  new Set(JSON.parse(sessionStorage.getItem(KEY) ?? "[]")),
);

function keep(ids: Set<string>) {
  notified.value = ids;
  sessionStorage.setItem(KEY, JSON.stringify([...ids]));
}

// Asks the browser for permission; returns whether it was granted.
export async function notifyAbout(id: string): Promise<boolean> {
  if (!("Notification" in window)) return false;
  if ((await Notification.requestPermission()) !== "granted") return false;
  keep(new Set(notified.value).add(id));
  return true;
}

// Looks at the chosen jobs on every page of the dashboard, also while the tab is in the background.
// A job that was deleted is no longer watched.
export async function watchNotified(signal: AbortSignal) {
  while (!signal.aborted) {
    for (const id of notified.value) {
      const job = await peek<Job>(`/v1/jobs/${id}`, signal);
      if (job === undefined) cancelNotification(id);
      else if (job && isFinal(job)) tell(job);
    }
    await wait(LOOK_MILLISECONDS, signal);
  }
}

// Stops watching a job.
function cancelNotification(id: string) {
  const rest = new Set(notified.value);
  if (rest.delete(id)) keep(rest);
}

function tell(job: Job) {
  cancelNotification(job.id);
  const note = new Notification(`${job.name}: ${job.status}`, {
    body: job.error?.message,
    tag: job.id,
  });
  note.addEventListener("click", () => {
    focus();
    location.hash = `#/jobs/${job.id}`;
    note.close();
  });
}
