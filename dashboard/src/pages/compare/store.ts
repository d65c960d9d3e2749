// The compared jobs and their metrics.

import { signal } from "@preact/signals";
import { get, Refused } from "../../api/client.ts";
import type { Job, MetricsRead } from "../../api/types.ts";
import { isFinal } from "../../lib/jobs.ts";
import { Series } from "../../lib/series.ts";
import { setParameters } from "../../router.ts";

const POINTS = 600;

export class CompareStore {
  version = signal(0);
  isLoading = true;
  private jobs = new Map<string, Job>();
  private series = new Map<string, Series>();
  // For each job id, the sequence number of the event up to which the metrics were read.
  private read = new Map<string, number>();

  runs(ids: string[]): Job[] {
    return ids.map((id) => this.jobs.get(id)).filter((job): job is Job => job !== undefined);
  }

  seriesOf(id: string): Series {
    return this.series.get(id) ?? new Series();
  }

  // The name of a job, with the id if several jobs have this name.
  labelOf(job: Job): string {
    const same = [...this.jobs.values()].filter(({ name }) => name === job.name);
    return same.length > 1 ? `${job.name} (${job.id.slice(0, 6)})` : job.name;
  }

  async look(ids: string[], abort: AbortSignal) {
    const missing: string[] = [];
    const changed = await Promise.all(
      ids.map(async (id) => {
        try {
          return await this.lookAt(id, abort);
        } catch (error) {
          const status = error instanceof Refused ? error.problem.status : undefined;
          if (status !== 404 && status !== 422) throw error;
          missing.push(id); // the job was deleted, or the address is wrong
          return true;
        }
      }),
    );
    if (abort.aborted) return;
    // The charts are drawn again only after a change.
    const isNew = this.isLoading || changed.includes(true);
    this.isLoading = false;
    if (isNew) this.version.value += 1;
    if (missing.length) {
      setParameters({ jobs: ids.filter((id) => !missing.includes(id)).join(",") });
    }
  }

  // Reads a job and its metrics; returns whether something may have changed.
  private async lookAt(id: string, abort: AbortSignal): Promise<boolean> {
    const known = this.jobs.get(id);
    if (known && isFinal(known) && this.read.get(id) === known.last_seq) return false;
    const job = await get<Job>(`/v1/jobs/${id}`, abort);
    this.jobs.set(id, job);
    if (this.read.get(id) === job.last_seq) return true;
    const path = `/v1/jobs/${id}/metrics?max_points=${POINTS}`;
    const { series } = await get<MetricsRead>(path, abort);
    const kept = this.series.get(id) ?? new Series();
    kept.merge(series);
    this.series.set(id, kept);
    this.read.set(id, job.last_seq);
    return true;
  }
}
