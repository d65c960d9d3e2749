// The status and the progress of a job.

import type { Job } from "../api/types.ts";
import { shownStatus } from "../lib/jobs.ts";

export function StatusBadge({ job }: { job: Job }) {
  const text = shownStatus(job);
  return <span class={`status ${text === job.status ? text : "asked"}`}>{text}</span>;
}

// The number of jobs of each status.
export function StatusCounts({ jobs }: { jobs: Job[] }) {
  const counts = new Map<string, number>();
  for (const { status } of jobs) counts.set(status, (counts.get(status) ?? 0) + 1);
  return (
    <span class="status-counts">
      {[...counts].map(([status, number]) => (
        <span key={status} class={`status ${status}`}>{`${number} ${status}`}</span>
      ))}
    </span>
  );
}

// The study and the tags of a job; a tag links to the jobs that have it.
export function Tags({ job }: { job: Job }) {
  return (
    <>
      {job.study && (
        <a class="button tag" href={`#/studies/${job.study}`}>
          study
        </a>
      )}
      {job.tags.map((tag) => (
        <a key={tag} class="button tag" href={`#/?tag=${encodeURIComponent(tag)}`}>
          {tag}
        </a>
      ))}
    </>
  );
}

export function ProgressBar({ job }: { job: Job }) {
  const isEnd = job.status === "succeeded" || job.status === "failed";
  const kind = job.status === "running" ? "" : isEnd ? job.status : "still";
  return (
    <progress class={kind} max={1} value={job.progress} aria-label={`Progress of ${job.name}`} />
  );
}
