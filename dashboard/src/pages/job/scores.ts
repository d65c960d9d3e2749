// The evaluations of one job, which a worker computes in parallel with training.

import { signal } from "@preact/signals";
import { get, post } from "../../api/client.ts";
import { Resource } from "../../api/resource.ts";
import { retryRead, wait } from "../../api/stream.ts";
import type { Evaluation, EvaluationTask } from "../../api/types.ts";
import { isFinal } from "../../lib/jobs.ts";

const LOOK_MILLISECONDS = 2000;

export class EvaluationList {
  tasks = signal<EvaluationTask[]>([]);
  private rows: Resource<Evaluation[]>;
  // The ids of the ended evaluations whose scores the page has read.
  private counted = new Set<string>();
  private isWatching = false;

  constructor(
    private job: string,
    private abort: AbortSignal,
    // Reads the scores, which are metrics of the job, unless the page receives them as events.
    private readScores: () => Promise<void>,
  ) {
    this.rows = new Resource<Evaluation[]>([], async (signal) => {
      const path = `${job}/evaluations`;
      return (await get<{ data: Evaluation[] }>(path, signal)).data;
    });
  }

  get value(): Evaluation[] {
    return this.rows.value;
  }

  async readTasks() {
    const tasks = await get<{ data: EvaluationTask[] }>("/v1/evaluations", this.abort);
    this.tasks.value = tasks.data;
  }

  // Reads the list, and then the scores of the evaluations that have ended since the previous read.
  // Compares with `counted`, because an evaluation that started and ended between two reads is not
  // in the previous list.
  async read() {
    await this.rows.read(this.abort);
    const ended = this.value.filter((row) => isFinal(row) && !this.counted.has(row.id));
    if (!ended.length) return;
    await this.readScores();
    for (const { id } of ended) this.counted.add(id);
  }

  // Reads the list until all evaluations have ended.
  async watch() {
    if (this.isWatching) return;
    this.isWatching = true;
    try {
      while (!this.abort.aborted && !this.value.every(isFinal)) {
        await wait(LOOK_MILLISECONDS, this.abort);
        await retryRead(() => this.read(), this.abort);
      }
    } catch {
      // the service refused the request, for example because the job was deleted
    } finally {
      this.isWatching = false;
    }
  }

  async start(checkpoint: string, task: string) {
    const path = `${this.job}/checkpoints/${checkpoint}/evaluations`;
    await this.rows.change(() => post(path, { task }));
    // The evaluation has started, so a lost connection during the read is not an error of the form.
    await retryRead(() => this.read(), this.abort);
    this.watch();
  }
}
