// The state of one job, read from the API and then updated by events. A reload or a lost connection
// does not change the result.

import { signal } from "@preact/signals";
import { get, post } from "../../api/client.ts";
import { Resource } from "../../api/resource.ts";
import { follow, retryRead, wait } from "../../api/stream.ts";
import type { Checkpoint, Job, JobEvent, MetricsRead } from "../../api/types.ts";
import type { Mark } from "../../charts/plot.ts";
import { exact } from "../../lib/format.ts";
import { type Action, act, isFinal, type Labels, label } from "../../lib/jobs.ts";
import { Series } from "../../lib/series.ts";
import { announce } from "../../lib/state.ts";
import type { Sample } from "../../ui/sample.tsx";
import { EvaluationList } from "./scores.ts";

const KEPT_EVENTS = "status,stage,sample,evaluation,warning,error";
const LOOK_MILLISECONDS = 1000;
const SAMPLES_KEPT = 200;
const REQUESTS = 4;
const LONG_STEPS = 10_000;
const FIRST_POINTS = 150;
const DETAIL_POINTS = 1500;
const LOCAL = { level: "error", isLocal: true } as const;

export interface StageState {
  stage: string;
  state: "started" | "finished";
  seconds: number | null;
  cached: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: each stage counts things of its own
  counts: Record<string, any>;
  time: string;
}
export interface Warning {
  message: string;
  times: number;
  time: number;
  level: "info" | "warn" | "error";
  // Whether the warning is about this page and not about the run.
  isLocal?: boolean;
}
export interface Estimate {
  parameter_count: number;
  words: number | null;
  words_seen: number | null;
  // The checkpoints that the track requires, each with its number of words seen.
  milestones: { name: string; words: number }[];
}

export class JobStore {
  job: Resource<Job | null>;
  estimate = signal<Estimate | null>(null);
  series = new Series();
  // A number that changes when points are added.
  version = signal(0);
  isLoading = signal(true);
  stages = signal<Map<string, StageState>>(new Map());
  warnings = signal<Map<string, Warning>>(new Map());
  samples = signal<Sample[]>([]);
  checkpoints: Resource<Checkpoint[] | null>;
  evaluations: EvaluationList;
  scores = signal<Map<number, JobEvent>>(new Map());
  private resumes = signal<Map<number, Mark>>(new Map());
  private seen = 0;
  // Sequence number of the last event of the job when the page requested all its metrics.
  private measured = 0;
  private isWatching = false;
  private isLooking = false;
  private lookAgain = false;
  private isDrawing = false;

  constructor(
    readonly id: string,
    private abort: AbortSignal,
  ) {
    this.job = new Resource<Job | null>(null, (signal) => get<Job>(this.path, signal));
    this.checkpoints = new Resource<Checkpoint[] | null>(null, async (signal) => {
      const path = `${this.path}/checkpoints`;
      return (await get<{ data: Checkpoint[] }>(path, signal)).data.reverse();
    });
    this.evaluations = new EvaluationList(this.path, abort, () => this.readAgain());
  }

  get path() {
    return `/v1/jobs/${this.id}`;
  }

  async load() {
    await this.job.read(this.abort);
    const job = this.job.value!;
    this.seen = job.last_seq;
    this.readEstimate(job);
    await Promise.all([
      this.readMetrics(),
      this.readPast(job.last_seq),
      this.checkpoints.read(this.abort),
      this.evaluations.readTasks(),
      this.evaluations.read(),
    ]);
    this.isLoading.value = false;
    this.evaluations.watch();
    if (!isFinal(job)) this.watch();
  }

  private async readEstimate(job: Job) {
    if (job.spec.task === "tokenizer") return;
    try {
      this.estimate.value = await post<Estimate>("/v1/jobs/estimate", job.spec, this.abort);
    } catch {
      // the service can refuse the spec of an older version; then the page shows no parameter count
    }
  }

  // Sends a few requests in parallel; the first includes the loss. For a long run, requests points
  // at equal distances first, because finding the extreme values takes the service more time.
  async readMetrics() {
    const job = this.job.value!;
    this.measured = job.last_seq;
    const names = Object.keys(job.metrics?.values ?? {});
    names.sort((a, b) => Number(b.endsWith("/loss")) - Number(a.endsWith("/loss")));
    if (!names.length) return;
    if ((job.step ?? 0) > LONG_STEPS) {
      await this.readNames(names, `&extremes=false&max_points=${FIRST_POINTS}`);
      await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    }
    const shares = Array.from({ length: REQUESTS }, (_, share) =>
      names.filter((_name, index) => index % REQUESTS === share),
    );
    await Promise.all(shares.map((share) => this.readNames(share, "")));
  }

  private async readNames(names: string[], options: string) {
    if (!names.length) return;
    const query = `names=${encodeURIComponent(names.join(","))}${options}`;
    const { series } = await get<MetricsRead>(`${this.path}/metrics?${query}`, this.abort);
    this.series.merge(series);
    this.changed();
  }

  // Requests finer points of a range that the user zooms into.
  async lookCloser(low: number, high: number) {
    const range = `after_step=${Math.max(-1, Math.floor(low) - 1)}&before_step=${Math.ceil(high) + 1}`;
    try {
      const path = `${this.path}/metrics?${range}&max_points=${DETAIL_POINTS}`;
      this.series.merge((await get<MetricsRead>(path, this.abort)).series);
      this.changed();
    } catch {
      // the coarse points stay on the page
    }
  }

  // Draws at most once per frame.
  private changed() {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      this.version.value += 1;
    });
  }

  private async readPast(last: number) {
    let after = 0;
    for (;;) {
      const query = `types=${KEPT_EVENTS}&after=${after}&limit=1000`;
      const { data } = await get<{ data: JobEvent[] }>(`${this.path}/events?${query}`, this.abort);
      const past = data.filter(({ seq }) => seq <= last);
      for (const event of past) this.keep(event);
      if (data.length < 1000 || past.length < data.length) return;
      after = data.at(-1)!.seq;
    }
  }

  private readCheckpoints() {
    retryRead(() => this.checkpoints.read(this.abort), this.abort).catch(() => {});
  }

  // Reads the job after an evaluation has ended. Until the job is final, the page follows its events
  // and thus receives the score. For a final job with new events, reads all metrics again, because
  // the score is one of them.
  private async readAgain() {
    await this.readJob();
    const job = this.job.value!;
    if (isFinal(job) && job.last_seq !== this.measured) await this.readMetrics();
  }

  // Submits a job that fine-tunes the checkpoint on all tasks of a folder; returns its id.
  async finetune(checkpoint: string, folder: string) {
    const finetune = { job: this.id, checkpoint, folder };
    return (await post<Job>("/v1/jobs", { task: "finetune", finetune })).id;
  }

  private keep(event: JobEvent) {
    const { type, data, time, seq } = event;
    if (type === "stage") this.keepStage(event);
    else if (type === "sample") {
      const others = this.samples.value.filter((sample) => sample.seq !== seq);
      this.samples.value = [{ seq, ...data }, ...others].slice(0, SAMPLES_KEPT);
    } else if (type === "evaluation") {
      this.scores.value = new Map(this.scores.value).set(seq, event);
    } else if (type === "warning") {
      const times = (this.warnings.value.get(data.code)?.times ?? 0) + 1;
      const level = data.level ?? "warn"; // the warnings of older runs have no level
      this.warn(data.code, { message: data.message, times, time: Date.parse(time), level });
    } else if (type === "status" && data.status === "running" && data.attempt > 1) {
      const label = `Resumed, attempt ${exact(data.attempt)}`;
      const mark: Mark = { kind: "resume", label, time: Date.parse(time) };
      this.resumes.value = new Map(this.resumes.value).set(seq, mark);
    } else if (type === "metrics") this.series.add(event);
  }

  private keepStage({ data, time }: JobEvent) {
    const before = this.stages.value.get(data.stage);
    const counts = data.state === "finished" ? data.counts : (before?.counts ?? {});
    this.stages.value = new Map(this.stages.value).set(data.stage, { ...data, counts, time });
  }

  private warn(code: string, warning: Warning) {
    this.warnings.value = new Map(this.warnings.value).set(code, warning);
  }

  dismiss(code: string) {
    const kept = new Map(this.warnings.value);
    kept.delete(code);
    this.warnings.value = kept;
  }

  // Milestones, checkpoints, warnings and resumes on the axis of the charts.
  marks(): Mark[] {
    const saved = (this.checkpoints.value ?? []).map(
      ({ name, kind, step }): Mark => ({
        kind: kind === "milestone" ? "milestone" : "checkpoint",
        label: kind === "milestone" ? `Milestone ${name}` : `Checkpoint ${name}`,
        step,
      }),
    );
    const warnings = [...this.warnings.value.values()].filter(({ isLocal }) => !isLocal);
    return [
      ...saved,
      ...warnings.map(({ message, time }): Mark => ({ kind: "warning", label: message, time })),
      ...this.resumes.value.values(),
    ];
  }

  private async readJob() {
    const before = this.job.value?.status;
    await this.job.read(this.abort);
    const { name, status } = this.job.value!;
    if (before !== status) announce(`${name}: ${status}`);
  }

  // Refreshes the job at most once a second, however many events arrive.
  private async look() {
    if (this.isLooking) {
      this.lookAgain = true;
      return;
    }
    this.isLooking = true;
    try {
      do {
        this.lookAgain = false;
        await this.readJob();
        await wait(LOOK_MILLISECONDS, this.abort);
      } while (this.lookAgain && !this.abort.aborted);
    } catch {
      // the stream reports a lost connection
    } finally {
      this.isLooking = false;
    }
  }

  private onEvent(event: JobEvent) {
    this.seen = event.seq;
    this.keep(event);
    if (event.type === "metrics") this.changed();
    if (event.type === "checkpoint") this.readCheckpoints();
    this.look();
  }

  // Follows the job until it is final. A job that was queued again has further events.
  async watch() {
    if (this.isWatching) return;
    this.isWatching = true;
    try {
      do {
        this.seen = await follow(this.id, this.seen, (event) => this.onEvent(event), this.abort);
        await retryRead(() => this.readJob(), this.abort);
      } while (!this.abort.aborted && !isFinal(this.job.value!));
    } catch (error) {
      const message = `This page is no longer updated: ${(error as Error).message}`;
      this.warn("refused stream", { message, times: 1, time: Date.now(), ...LOCAL });
    } finally {
      this.isWatching = false;
    }
  }

  async label(labels: Labels | null) {
    if (labels) await this.job.write(() => label(this.job.value!, labels));
  }

  async act(action: Action) {
    try {
      const job = await this.job.write(() => act(this.job.value!, action));
      announce(`${action}: ${job!.status}`);
    } catch (error) {
      if ((error as Error).name === "AbortError") return;
      const { message } = error as Error;
      this.warn(`refused ${action}`, { message, times: 1, time: Date.now(), ...LOCAL });
    }
    if (action === "retry" || action === "resume") this.watch();
  }
}
