// The alerts of all jobs, and which of them the user of this browser has seen.

import { computed, signal } from "@preact/signals";
import { peek } from "../api/client.ts";
import { RequestOrder } from "../api/resource.ts";
import { wait } from "../api/stream.ts";
import type { Alert } from "../api/types.ts";

const KEY = "babylm-alerts-read";
const LOOK_MILLISECONDS = 15_000;

export const alerts = signal<Alert[] | null>(null);
// Time of the newest alert that the user has seen.
export const readUntil = signal(localStorage.getItem(KEY) ?? "");

export const unread = computed(
  () => (alerts.value ?? []).filter(({ time }) => isNewer(time, readUntil.value)).length,
);

export function isNewer(time: string, than: string) {
  return than === "" || Date.parse(time) > Date.parse(than);
}

export function markRead() {
  const newest = alerts.value?.[0]?.time;
  if (!newest || !isNewer(newest, readUntil.value)) return;
  readUntil.value = newest;
  localStorage.setItem(KEY, newest);
}

const order = new RequestOrder();

export async function lookForAlerts(abort?: AbortSignal) {
  const accept = order.register();
  const page = await peek<{ data: Alert[] }>("/v1/alerts", abort);
  if (page && accept()) alerts.value = page.data;
}

export async function watchAlerts(abort: AbortSignal) {
  while (!abort.aborted) {
    if (!document.hidden) await lookForAlerts(abort);
    await wait(LOOK_MILLISECONDS, abort);
  }
}

// The place of an alert on the page of its job.
export function addressOf({ job_id: job, code }: Alert) {
  return `#/jobs/${job}?section=notices&alert=${encodeURIComponent(code)}`;
}
