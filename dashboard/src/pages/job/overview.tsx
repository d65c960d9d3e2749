// Results, progress, stages and facts of a job, and its notices.

import type { Job } from "../../api/types.ts";
import {
  bytes,
  count,
  exact,
  fixed,
  type Maybe,
  percent,
  score,
  seconds,
  sentence,
  short,
} from "../../lib/format.ts";
import {
  duration,
  isFinal,
  isTokenizer,
  memoryOf,
  olderStepOf,
  timeLeft,
  valuesOf,
} from "../../lib/jobs.ts";
import { type Fact, Numbers } from "../../ui/card.tsx";
import { Marked } from "../../ui/marks.tsx";
import { ProgressBar } from "../../ui/status.tsx";
import { Budget } from "./budget.tsx";
import { Remedies } from "./remedies.tsx";
import { Stages } from "./stages.tsx";
import type { JobStore } from "./store.ts";

const JOULES_PER_KWH = 3.6e6;
const JOULES_PER_WH = 3600;
const SCORE = "evaluation/";
const MFU = "Model FLOPs utilization: the speed of training as a share of the device's peak speed";
const STAGE_ONLY = "Time left in the current stage";
const ALL_STAGES = "Progress over all stages, not only over the steps of the training";
const BITS = "Validation loss per byte of text; comparable between tokenizers";

export function Overview({ store }: { store: JobStore }) {
  const job = store.job.value!;
  if (isTokenizer(job)) return <TokenizerOverview store={store} />;
  return (
    <section class="card section" id="overview" aria-label="Overview">
      {isFinal(job) && !job.metrics?.step ? (
        <p class="unstarted">{UNSTARTED[job.status]}</p>
      ) : (
        <Measured store={store} />
      )}
      <Stages store={store} />
      <Facts store={store} />
    </section>
  );
}

const UNSTARTED: Record<string, string> = {
  cancelled: "Stopped before the first step.",
  failed: "Failed before the first step.",
  succeeded: "The job ended without training a step.",
};

function Measured({ store }: { store: JobStore }) {
  const job = store.job.value!;
  return (
    <>
      <Numbers kind="results" facts={results(store, job)} />
      <Numbers facts={progress(job)} />
      <div class="progress-line">
        <ProgressBar job={job} />
      </div>
      <Budget store={store} />
    </>
  );
}

function TokenizerOverview({ store }: { store: JobStore }) {
  const job = store.job.value!;
  return (
    <section class="card section" id="overview" aria-label="Overview">
      <Numbers
        facts={[
          ["Progress", percent(job.progress)],
          ["Vocabulary", exact(job.spec.tokenizer.vocab_size)],
          time(job),
        ]}
      />
      <div class="progress-line">
        <ProgressBar job={job} />
      </div>
      <Stages store={store} />
    </section>
  );
}

function time(job: Job): Fact {
  if (isFinal(job)) return ["Duration", seconds(duration(job))];
  const left = timeLeft(job);
  if (left === null) return ["Time left", "–"];
  const whole =
    job.stage === "train"
      ? "Includes validations, checkpoints, the evaluation and the export"
      : STAGE_ONLY;
  return ["Time left", left, whole];
}

// The losses and the scores.
function results(store: JobStore, job: Job): Fact[] {
  store.version.value;
  const values = valuesOf(job);
  const validation = values["validation/loss"];
  const scores = Object.keys(values).filter((name) => name.startsWith(SCORE));
  return [
    ["Training loss", fixed(values["train/loss"])],
    [
      "Validation loss",
      validation === undefined && job.status === "running" && job.spec.data.validation ? (
        <span class="small soft">not measured yet</span>
      ) : (
        measured(job, "validation/loss", fixed)
      ),
    ],
    ["Perplexity", measured(job, "validation/perplexity", short), "exp of the validation loss"],
    ["Bits per byte", measured(job, "validation/bits_per_byte", fixed), BITS],
    ...scores.map((name): Fact => [name.slice(SCORE.length), score(values[name])]),
  ];
}

// A value, with the step at which it was measured if this is not the newest step.
function measured(job: Job, name: string, text: (value: Maybe) => string) {
  const older = olderStepOf(job, name);
  return (
    <>
      {text(valuesOf(job)[name])}
      {older !== null && <span class="small soft nowrap"> at step {exact(older)}</span>}
    </>
  );
}

function progress(job: Job): Fact[] {
  const values = valuesOf(job);
  const speed = values["throughput/tokens_per_second"];
  const step = job.step === null ? "–" : exact(job.step);
  const words = job.metrics?.words_seen;
  const isMeasuring = job.status === "running" && job.stage === "train" && !job.step;
  return [
    [
      "Progress",
      isMeasuring ? "first validation" : percent(job.progress),
      isMeasuring ? "The untrained model is validated before the first step" : ALL_STAGES,
    ],
    [
      "Step",
      <Amount key="step" value={step} unit={job.max_steps && `/ ${exact(job.max_steps)}`} />,
    ],
    [
      "Words seen",
      count(words),
      `${exact(words)} words, ${exact(job.metrics?.tokens_seen)} tokens`,
    ],
    ["Speed", speed ? <Amount key="speed" value={count(speed)} unit="tokens/s" /> : "–"],
    ["MFU", percent(values["throughput/mfu"]), MFU],
    ["Memory", bytes(memoryOf(job))],
    time(job),
  ].map((fact) => fact as Fact);
}

// A value with its unit, which is smaller and moves to the next line if the column is narrow.
function Amount({ value, unit }: { value: string; unit: string | 0 | null }) {
  return (
    <>
      {value} {unit && <span class="unit">{unit}</span>}
    </>
  );
}

function Facts({ store }: { store: JobStore }) {
  const job = store.job.value!;
  store.version.value;
  const { spec } = job;
  const joules = store.series.integral("device/power_watts");
  const energy = joules === null ? null : energyText(joules);
  const parts = [
    ["Parameters", exact(store.estimate.value?.parameter_count)],
    ["Seed", String(spec.training.seed)],
    ["Device", spec.training.device === "auto" ? "chosen by the worker" : spec.training.device],
    ["Precision", spec.training.precision],
    ["Track", spec.track],
    ["Attempt", exact(job.attempt)],
    ["Worker", job.worker ?? "–"],
    energy && ["Energy", energy],
  ].filter((part): part is [string, string] => Boolean(part));
  return (
    <dl class="facts-line">
      {parts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function energyText(joules: number) {
  const kwh = joules / JOULES_PER_KWH;
  return kwh >= 0.1 ? `${kwh.toFixed(2)} kWh` : `${(joules / JOULES_PER_WH).toFixed(1)} Wh`;
}

const NOTICES = 5;
const LEVELS = { info: "Info", warn: "Warning", error: "Error" };

// Why the job failed and how to fix it, and warnings, which can be dismissed.
// `wanted` is the code of a warning or failure that the address names.
export function Notices({ store, wanted }: { store: JobStore; wanted: string | null }) {
  const job = store.job.value!;
  const all = [...store.warnings.value];
  const warnings = all.filter(([code], at) => at >= all.length - NOTICES || code === wanted);
  const mark = (code: string) => (code === wanted ? " wanted" : "");
  return (
    <div role="status" id="notices" class="notices">
      {job.status === "failed" && job.error && (
        <div class={`notice error${mark(job.error.code)}`} role="alert">
          <h2>What went wrong</h2>
          <p>
            <Marked>{sentence(job.error.message)}</Marked>
          </p>
          {job.error.hint && (
            <p>
              <b>How to fix it</b>
              <Marked>{job.error.hint}</Marked>
            </p>
          )}
          <Remedies job={job} error={job.error} />
          <code class="small">{job.error.code}</code>
        </div>
      )}
      {warnings.map(([code, { message, level, times }]) => (
        <div key={code} class={`notice bar spread ${level}${mark(code)}`}>
          <span>
            <b>{LEVELS[level]}</b> <Marked>{sentence(message)}</Marked>
            {times > 1 && ` (${times} times)`}
          </span>
          <button
            type="button"
            class="quiet"
            aria-label={`Dismiss: ${message}`}
            onClick={() => store.dismiss(code)}
          >
            Dismiss
          </button>
        </div>
      ))}
    </div>
  );
}
