// The checkpoints of the playground, with their generated texts and their scores.

import { signal } from "@preact/signals";
import { get } from "../../api/client.ts";
import { generate, type ScoredText, type Settings, score } from "../../api/playground.ts";
import type { Checkpoint, Job, JobPage } from "../../api/types.ts";
import { type CheckpointId, keyOf } from "../../lib/ids.ts";
import { isTokenizer } from "../../lib/jobs.ts";

const JOBS = 200;
const SCORED_CHARACTERS = 2000;

export interface Output {
  text: string;
  state: "waiting" | "writing" | "scoring" | "done" | "failed";
  scored: ScoredText | null;
  fault: string;
  // The reason why the text has no colours.
  note: string;
}

export interface PairScore {
  scored: ScoredText[] | null;
  fault: string;
}

const EMPTY: Output = { text: "", state: "waiting", scored: null, fault: "", note: "" };

export class Playground {
  jobs = signal<Job[] | null>(null);
  // Names of the checkpoints by job.
  checkpoints = signal<Map<string, string[]>>(new Map());
  outputs = signal<Map<string, Output>>(new Map());
  pairs = signal<Map<string, PairScore>>(new Map());

  constructor(private abort: AbortSignal) {}

  // Reads the jobs that may have a checkpoint, the newest first.
  async load(chosen: CheckpointId[]) {
    const { data } = await get<JobPage>(`/v1/jobs?limit=${JOBS}`, this.abort);
    this.jobs.value = data.filter((job) => !isTokenizer(job) && job.step !== null);
    for (const id of new Set(chosen.map(({ job }) => job))) await this.readCheckpoints(id);
  }

  async readCheckpoints(job: string) {
    const path = `/v1/jobs/${job}/checkpoints`;
    const { data } = await get<{ data: Checkpoint[] }>(path, this.abort);
    const names = data.map(({ name }) => name).reverse();
    this.checkpoints.value = new Map(this.checkpoints.value).set(job, names);
  }

  // The name of a job, with the id if several jobs have this name.
  nameOf(id: string) {
    const jobs = this.jobs.value ?? [];
    const name = jobs.find((job) => job.id === id)?.name;
    if (name === undefined) return id.slice(0, 8);
    const same = jobs.filter((job) => job.name === name);
    return same.length > 1 ? `${name} (${id.slice(0, 6)})` : name;
  }

  labelOf({ job, name }: CheckpointId) {
    return `${this.nameOf(job)}, ${name}`;
  }

  // The service computes one short task at a time, so the checkpoints generate
  // their texts one after the other.
  async generate(chosen: CheckpointId[], prompt: string, settings: Settings) {
    this.outputs.value = new Map(chosen.map((one) => [keyOf(one), EMPTY]));
    for (const one of chosen) await this.write(one, prompt, settings);
  }

  private async write(one: CheckpointId, prompt: string, settings: Settings) {
    const change = (values: Partial<Output>) => {
      const before = this.outputs.value.get(keyOf(one)) ?? EMPTY;
      this.outputs.value = new Map(this.outputs.value).set(keyOf(one), { ...before, ...values });
    };
    try {
      change({ state: "writing" });
      const onText = (text: string) => change({ text });
      const text = await generate(one, { ...settings, prompt }, onText, this.abort);
      if (!text || text.length > SCORED_CHARACTERS) {
        const note = text ? `Only texts up to ${SCORED_CHARACTERS} characters are scored.` : "";
        change({ text, state: "done", note });
        return;
      }
      change({ text, state: "scoring" });
      const [scored] = await score(one, [text], this.abort);
      change({ scored, state: "done" });
    } catch (error) {
      if (!this.abort.aborted) change({ state: "failed", fault: (error as Error).message });
    }
  }

  async scorePair(chosen: CheckpointId[], pair: [good: string, bad: string]) {
    this.pairs.value = new Map();
    for (const one of chosen) {
      let found: PairScore;
      try {
        found = { scored: await score(one, pair, this.abort), fault: "" };
      } catch (error) {
        if (this.abort.aborted) return;
        found = { scored: null, fault: (error as Error).message };
      }
      this.pairs.value = new Map(this.pairs.value).set(keyOf(one), found);
    }
  }
}
