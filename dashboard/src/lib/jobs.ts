// Facts about a job that several pages show.

import { patch, post, remove } from "../api/client.ts";
import { FINAL, type Job, type Spec, STAGES, type StageName } from "../api/types.ts";
import { ask } from "../ui/dialog.tsx";
import { exact, type Maybe, plural, seconds } from "./format.ts";

export type Action = "pause" | "cancel" | "resume" | "retry";

export const isFinal = ({ status }: { status: string }) => FINAL.includes(status);
export const isTokenizer = ({ spec }: Pick<Job, "spec">) => spec.task === "tokenizer";

export const isFinetune = ({ spec }: Pick<Job, "spec">) => spec.task === "finetune";

export function valuesOf(job: Job): Record<string, number | null> {
  return job.metrics?.values ?? {};
}

// The step at which a value was measured; null if the step is unknown or is the newest one.
export function olderStepOf(job: Job, name: string): number | null {
  const step = job.metrics?.steps?.[name];
  return step === undefined || step === job.metrics?.step ? null : step;
}

// What the job does or waits for, in words.
export function activity(job: Job): string {
  if (job.waiting_for) {
    const { what, position, detail } = job.waiting_for;
    if (detail) return `${detail} (${place(position)})`;
    return what === "a worker" ? `waiting for a worker, ${place(position)}` : place(position);
  }
  if (job.status === "failed") return job.error?.message ?? "failed";
  if (job.status === "running") return job.stage ? stageTitle(job.stage) : "starting";
  if (job.status === "cancelled") return job.step ? "stopped" : "stopped before the first step";
  return job.stage && !isFinal(job) ? `in ${stageTitle(job.stage).toLowerCase()}` : "";
}

function place(position: number) {
  return `position ${exact(position)} in the queue`;
}

export function stageTitle(name: string) {
  return name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
}

// Stages that some runs do not have; the page shows them as soon as they have begun.
const OPTIONAL: readonly StageName[] = ["compile", "evaluate"];

// The stages that the spec asks for, in the order of the service.
export function dueStages(job: Job): StageName[] {
  return STAGES.filter((name) => {
    if (isFinetune(job) || name === "finetune") return isFinetune(job) && name === "finetune";
    if (isTokenizer(job)) return name === "clean" || name === "tokenizer";
    if (name === "evaluate") return job.spec.evaluation?.tasks?.length > 0;
    return !OPTIONAL.includes(name);
  });
}

// The status to show. After a request to pause or cancel, the status itself changes only later.
export function shownStatus(job: Job): string {
  if (job.status !== "running") return job.status;
  if (job.cancel_requested_at) return "cancelling";
  return job.pause_requested_at ? "pausing" : job.status;
}

export function timeLeft(job: Job): string | null {
  if (job.status !== "running" || job.eta_seconds === null) return null;
  return seconds(job.eta_seconds);
}

export function duration(job: Job): number | null {
  if (!job.started_at) return null;
  const end = job.finished_at ? Date.parse(job.finished_at) : Date.now();
  return (end - Date.parse(job.started_at)) / 1000;
}

export function memoryOf(job: Job): Maybe {
  const values = valuesOf(job);
  return values["memory/device_allocated_bytes"] ?? values["memory/host_rss_bytes"] ?? null;
}

export function architectureOf(job: Job): string {
  return isTokenizer(job) ? "tokenizer" : (job.spec.model?.architecture ?? "");
}

export function act(job: Job, action: Action): Promise<Job> {
  return post(`/v1/jobs/${job.id}/${action}`);
}

export type Labels = Partial<Pick<Job, "name" | "tags" | "notes" | "archived" | "pinned">>;

export function label(job: Job, labels: Labels): Promise<Job> {
  return patch(`/v1/jobs/${job.id}`, labels);
}

// Asks the user for a new name; null if the user enters none.
export async function askName(job: Job): Promise<Labels | null> {
  const input = { label: "Name", value: job.name };
  const name = await ask("Rename the job", { confirm: "Rename", input });
  return typeof name === "string" && name ? { name } : null;
}

export async function askTags(job: Job): Promise<Labels | null> {
  const detail = "Separate tags by spaces. A tag has letters, digits, “.”, “_” and “-”.";
  const input = { label: "Tags", value: job.tags.join(" "), mayBeEmpty: true };
  const tags = await ask("Tags", { detail, confirm: "Save", input });
  return typeof tags === "string" ? { tags: tags.split(/[\s,]+/).filter(Boolean) } : null;
}

export async function askNotes(job: Job): Promise<Labels | null> {
  const input = { label: "Notes", value: job.notes, mayBeEmpty: true };
  const notes = await ask("Notes", { confirm: "Save", input });
  return typeof notes === "string" ? { notes } : null;
}

export function confirmCancel(jobs: Job[]) {
  const question = jobs.length === 1 ? "Cancel this job?" : `Cancel ${plural(jobs.length, "job")}?`;
  return ask(question, {
    detail: "A running job saves a checkpoint first. Retry continues from there.",
    confirm: jobs.length === 1 ? "Cancel the job" : "Cancel the jobs",
    refuse: "Keep running",
    danger: true,
  });
}

// Deletes jobs if the user confirms it; returns whether they were deleted. The page of a job gives
// `nextPage`, the page to open afterwards.
export async function erase(jobs: Job[], nextPage = ""): Promise<boolean> {
  const question = jobs.length === 1 ? `Delete “${jobs[0].name}”?` : `Delete ${jobs.length} jobs?`;
  const detail = "All checkpoints are deleted too. This cannot be undone.";
  if (!(await ask(question, { detail, confirm: "Delete", danger: true }))) return false;
  for (const { id } of jobs) await remove(`/v1/jobs/${id}`, nextPage);
  return true;
}

// Every leaf of a spec by its path, such as model.hidden_size.
export function leaves(value: unknown, path = "", into: Spec = {}): Spec {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, item] of Object.entries(value)) {
      leaves(item, path ? `${path}.${key}` : key, into);
    }
  } else {
    into[path] = value;
  }
  return into;
}
