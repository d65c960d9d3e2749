// Studies: the text of a condition, and creating a study from a spec.

import { post, remove } from "../api/client.ts";
import type { Job, Spec, Study } from "../api/types.ts";
import { ask } from "../ui/dialog.tsx";

const MOST_SEEDS = 200;

// The values of a condition; "base" if the study has no grid.
export function conditionText(condition: Record<string, unknown>): string {
  const parts = Object.entries(condition).map(([field, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `${field.split(".").at(-1)} = ${text}`;
  });
  return parts.join(", ") || "base";
}

export function countsText(counts: Record<string, number>): string {
  const parts = Object.entries(counts).map(([status, number]) => `${number} ${status}`);
  return parts.join(", ") || "no jobs";
}

// Creates a study that repeats a spec with several seeds. Because of the idempotency key, a request
// that is sent twice creates only one study.
export function createStudy(spec: Spec, seeds: number, name?: string): Promise<Study> {
  const key = crypto.randomUUID?.() ?? String(Math.random());
  return post("/v1/studies", { spec, seeds, ...(name ? { name } : {}) }, undefined, {
    "Idempotency-Key": key,
  });
}

// Asks for a number of seeds; null if the user cancels or enters no whole number from 1 to 200.
export async function askSeeds(
  title: string,
  detail: string,
  value: number,
): Promise<number | null> {
  const input = { label: "Number of seeds", type: "number", value: String(value) };
  const answer = await ask(title, { detail, confirm: "Start", input });
  const number = Number(answer);
  const isValid = typeof answer === "string" && Number.isInteger(number) && number >= 1;
  return isValid && number <= MOST_SEEDS ? number : null;
}

export async function repeatJob(job: Job): Promise<Study | null> {
  const detail = "A study trains this spec once with each seed and shows mean and deviation.";
  const seeds = await askSeeds("Repeat with N seeds", detail, 3);
  return seeds === null ? null : createStudy(job.spec, seeds, job.name.slice(0, 150));
}

export function act(study: Study, action: "cancel" | "resume"): Promise<Study> {
  return post(`/v1/studies/${study.id}/${action}`);
}

// Deletes a study if the user confirms it, and then opens the list of jobs.
export async function eraseStudy(study: Study) {
  const detail = `Its ${study.num_members} jobs and all their checkpoints are deleted too. This cannot be undone.`;
  const question = `Delete the study “${study.name}”?`;
  if (!(await ask(question, { detail, confirm: "Delete", danger: true }))) return;
  await remove(`/v1/studies/${study.id}`, "#/");
}
