// The values of a job that a comparison shows: results, and options of the spec.

import type { Job } from "../../api/types.ts";
import { bytes, count, fixed, type Maybe, score, seconds, short } from "../../lib/format.ts";
import { duration, leaves, memoryOf, valuesOf } from "../../lib/jobs.ts";
import type { Value } from "../../lib/scale.ts";
import { shownValue, titleOf } from "../../lib/schema.ts";
import type { CompareStore } from "./store.ts";

const SCORE = "evaluation/";
const HEADED = "name"; // not an option to compare, because the name heads each run
const SEED = "training.seed";
export const LOWEST = "lowest/validation/loss";

export interface Field {
  // The name of the field in the address.
  key: string;
  title: string;
  value: (job: Job) => Value;
  text: (value: number) => string;
  better?: "lower" | "higher";
  // Whether it is an option of the spec.
  isOption?: boolean;
}

export interface Result extends Field {
  value: (job: Job) => Maybe;
}

export function resultFields(runs: Job[], store: CompareStore): Result[] {
  const metric = (name: string) => (job: Job) => valuesOf(job)[name];
  const names = runs.flatMap((job) => Object.keys(valuesOf(job)));
  const scores = [...new Set(names.filter((name) => name.startsWith(SCORE)))].sort();
  const lower = "lower" as const;
  const loss = { text: (value: number) => fixed(value), better: lower };
  const measured = (key: string, title: string, rest: Pick<Result, "text" | "better">): Result => ({
    ...{ key, title, value: metric(key) },
    ...rest,
  });
  const fields: Result[] = [
    {
      key: LOWEST,
      title: "Lowest validation loss",
      value: (job) => store.seriesOf(job.id).lowest("validation/loss"),
      ...loss,
    },
    measured("validation/loss", "Validation loss", loss),
    measured("validation/perplexity", "Perplexity", { text: short, better: lower }),
    measured("validation/bits_per_byte", "Bits per byte", loss),
    measured("train/loss", "Training loss", loss),
    ...scores.map((name) =>
      measured(name, name.slice(SCORE.length), {
        text: score,
        better: "higher",
      }),
    ),
    { key: "words", title: "Words seen", value: (job) => job.metrics?.words_seen, text: count },
    { key: "steps", title: "Steps", value: (job) => job.step, text: count },
    measured("throughput/tokens_per_second", "Tokens/s", { text: count }),
    { key: "memory", title: "Memory", value: memoryOf, text: bytes },
    { key: "duration", title: "Duration", value: duration, text: seconds },
  ];
  return fields.filter(({ value }) => runs.some((job) => Number.isFinite(value(job))));
}

const specs = new Map<string, Record<string, unknown>>();

// The options of the spec by path. The spec of a job never changes.
export function optionsOf(job: Job): Record<string, unknown> {
  let options = specs.get(job.id);
  if (!options) {
    options = leaves(job.spec);
    delete options[HEADED];
    specs.set(job.id, options);
  }
  return options;
}

// The paths of the options in which the jobs differ.
export function differingPaths(runs: Job[]): string[] {
  const paths = [...new Set(runs.flatMap((job) => Object.keys(optionsOf(job))))];
  return paths.filter((path) => {
    const values = runs.map((job) => JSON.stringify(optionsOf(job)[path] ?? null));
    return new Set(values).size > 1;
  });
}

// The order of the options: first those that a user varies to get better results.
const ORDER = [/^training\.(?!seed$)/, /^model\.architecture$/, /^model\./, /^(data|tokenizer)\./];

function rankOf(path: string): number {
  const rank = ORDER.findIndex((pattern) => pattern.test(path));
  return rank < 0 ? ORDER.length + Number(path === SEED) : rank;
}

// The options in which the jobs differ; the seed comes last, because it rarely explains a result.
export function optionFields(runs: Job[]): Field[] {
  const paths = differingPaths(runs).sort((one, other) => rankOf(one) - rankOf(other));
  return paths.map((path) => ({
    key: path,
    title: titleOf(path.split(".").at(-1)!),
    value: (job) => {
      const value = optionsOf(job)[path];
      if (value === undefined || value === null) return null;
      return typeof value === "number" ? value : shownValue(value);
    },
    text: short,
    isOption: true,
  }));
}

// The text of a value of a field.
export function fieldText(field: Field, job: Job): string {
  const value = field.value(job);
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? field.text(value) : value;
}
