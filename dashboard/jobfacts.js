// What is said about a job in more than one place.

import { post, remove } from "/static/api.js";
import { ask, el } from "/static/dom.js";
import { seconds } from "/static/format.js";

export const STATUSES = ["running", "queued", "paused", "succeeded", "failed", "cancelled"];
export const FINAL = ["succeeded", "failed", "cancelled"];
export const ACTIONS = {
  queued: ["pause", "cancel"], running: ["pause", "cancel"], paused: ["resume", "cancel"],
  failed: ["retry"], cancelled: ["retry"], succeeded: [],
};

export const isFinal = (job) => FINAL.includes(job.status);

export function statusBadge(job) {
  let asked = null; // a wish is not a status yet
  if (job.status === "running") asked = job.cancel_requested_at ? "cancelling" : job.pause_requested_at ? "pausing" : null;
  return el("span", { class: `status ${asked ? "asked" : job.status}` }, asked ?? job.status);
}

export function progressBar(job) {
  const kind = job.status === "running" ? "" : ["succeeded", "failed"].includes(job.status) ? job.status : "still";
  return el("progress", { class: kind, max: 1, value: job.progress, "aria-label": `Progress of ${job.name}` });
}

// A line about where it stands.
export function standing(job) {
  if (job.waiting_for) {
    const { what, position, detail } = job.waiting_for;
    if (detail) return `${detail} (number ${position} in the queue)`;
    return what === "a worker" ? `waits for a worker (number ${position} in the queue)` : `number ${position} in the queue`;
  }
  if (job.status === "failed") return job.error?.message ?? "failed";
  if (job.status === "running") return job.stage ?? "starting";
  return job.stage && !isFinal(job) ? `in ${job.stage}` : "";
}

export function timeLeft(job) {
  if (job.status !== "running" || job.eta_seconds === null) return null;
  return `${seconds(job.eta_seconds)} left`;
}

export function memoryOf(job) {
  const values = job.metrics?.values ?? {};
  return values["memory/device_allocated_bytes"] ?? values["memory/host_rss_bytes"] ?? null;
}

export function act(job, action) {
  return post(`/v1/jobs/${job.id}/${action}`);
}

export async function erase(jobs) {
  const question = jobs.length === 1 ? `Delete “${jobs[0].name}”?` : `Delete ${jobs.length} jobs?`;
  if (!await ask(question, { detail: "All its checkpoints go with it. This cannot be undone.", confirm: "Delete", danger: true })) return false;
  for (const job of jobs) await remove(`/v1/jobs/${job.id}`);
  return true;
}

// Every leaf of a spec by its path: model.hidden_size.
export function leaves(value, path = "", into = {}) {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, item] of Object.entries(value)) leaves(item, path ? `${path}.${key}` : key, into);
  } else {
    into[path] = value;
  }
  return into;
}
