// Browser notifications at the end of jobs that the user chose in this tab.

import { signal } from "@preact/signals";
import type { Job } from "../api/types.ts";
import { isFinal } from "./jobs.ts";

// The ids of the jobs to notify about.
export const notified = signal<Set<string>>(new Set());

// Asks the browser for permission; returns whether it was granted.
export async function notifyAbout(id: string): Promise<boolean> {
  if (!("Notification" in window)) return false;
  if ((await Notification.requestPermission()) !== "granted") return false;
  notified.value = new Set(notified.value).add(id);
  return true;
}

export function notifyIfEnded(before: string | undefined, job: Job) {
  if (!notified.value.has(job.id) || before === job.status || !isFinal(job)) return;
  new Notification(`${job.name}: ${job.status}`, { body: job.error?.message, tag: job.id });
}
