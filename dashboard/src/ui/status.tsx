// The status and the progress of a job.

import type { Job } from "../api/types.ts";
import { shownStatus } from "../lib/jobs.ts";

export function StatusBadge({ job }: { job: Job }) {
  const text = shownStatus(job);
  return <span class={`status ${text === job.status ? text : "asked"}`}>{text}</span>;
}

export function ProgressBar({ job }: { job: Job }) {
  const isEnd = job.status === "succeeded" || job.status === "failed";
  const kind = job.status === "running" ? "" : isEnd ? job.status : "still";
  return (
    <progress class={kind} max={1} value={job.progress} aria-label={`Progress of ${job.name}`} />
  );
}
