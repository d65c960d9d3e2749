// The jobs that the list shows, refreshed from the service.

import { signal } from "@preact/signals";
import { get } from "../../api/client.ts";
import { RequestOrder } from "../../api/resource.ts";
import type { Job, JobPage, MetricsRead } from "../../api/types.ts";
import { isFinal } from "../../lib/jobs.ts";
import { needsAll, type Query } from "./query.ts";

// Number of jobs on a page of the list.
export const PAGE = 50;
const ALL = 1000;
const CURVE_MILLISECONDS = 6000;
const CURVE_JOBS = 50;

interface Curve {
  values: (number | null)[];
  step: number | null;
  at: number;
}

export class JobList {
  jobs = signal<Job[] | null>(null);
  // The order of `jobs`. After a click, the order in the URL is newer until the answer arrives.
  sort = signal("");
  counts = signal<Record<string, number>>({});
  next = signal<string | null>(null);
  cursors = signal<string[]>([]);
  chosen = signal<Map<string, Job>>(new Map());
  curves = signal<Map<string, Curve>>(new Map());
  private order = new RequestOrder();

  async look(query: Query, abort: AbortSignal) {
    const parameters = new URLSearchParams({ limit: String(needsAll(query) ? ALL : PAGE) });
    if (query.status) parameters.set("status", query.status);
    if (query.search) parameters.set("search", query.search);
    if (query.tag) parameters.set("tag", query.tag);
    if (query.sort) parameters.set("sort", query.sort);
    parameters.set("archived", query.archived ? "true" : "false");
    const cursor = this.cursors.value.at(-1);
    if (cursor && !needsAll(query)) parameters.set("after", cursor);
    const accept = this.order.register();
    const answer = await get<JobPage>(`/v1/jobs?${parameters}`, abort);
    // An action on jobs requests the list again, while an older request may still run.
    if (abort.aborted || !accept()) return;
    this.jobs.value = answer.data;
    this.sort.value = query.sort;
    this.counts.value = answer.counts;
    this.next.value = answer.next;
    this.refreshChosen(answer.data);
    this.lookAtCurves(answer.data.slice(0, CURVE_JOBS), abort);
  }

  private refreshChosen(jobs: Job[]) {
    if (!this.chosen.value.size) return;
    const chosen = new Map(this.chosen.value);
    for (const job of jobs) if (chosen.has(job.id)) chosen.set(job.id, job);
    this.chosen.value = chosen;
  }

  choose(jobs: Job[], isChosen: boolean) {
    const chosen = new Map(this.chosen.value);
    for (const job of jobs) {
      if (isChosen) chosen.set(job.id, job);
      else chosen.delete(job.id);
    }
    this.chosen.value = chosen;
  }

  // Reads the curves without delaying the list. The curve of an ended job is requested only once.
  private async lookAtCurves(jobs: Job[], abort: AbortSignal) {
    const now = Date.now();
    const wanted = jobs.filter((job) => {
      const known = this.curves.value.get(job.id);
      if (job.step === null) return false;
      if (!known) return true;
      return known.step !== job.step && (isFinal(job) || now - known.at > CURVE_MILLISECONDS);
    });
    if (!wanted.length) return;
    const curves = new Map(this.curves.value);
    for (const { id, step } of wanted) {
      curves.set(id, { values: curves.get(id)?.values ?? [], step, at: now });
    }
    this.curves.value = curves;
    try {
      const ids = wanted.map(({ id }) => id).join(",");
      const path = `/v1/metrics?max_points=60&jobs=${ids}`;
      const answer = await get<{ jobs: Record<string, MetricsRead> }>(path, abort);
      const updated = new Map(this.curves.value);
      for (const [id, { series }] of Object.entries(answer.jobs)) {
        updated.set(id, { ...updated.get(id)!, values: series["train/loss"].value });
      }
      this.curves.value = updated;
    } catch {
      const kept = new Map(this.curves.value); // the next refresh requests them again
      for (const { id } of wanted) kept.delete(id);
      this.curves.value = kept;
    }
  }
}
