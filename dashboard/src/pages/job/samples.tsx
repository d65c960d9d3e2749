// Samples from training, and text that a checkpoint generates on request.

import { useState } from "preact/hooks";
import { post, Refused } from "../../api/client.ts";
import { isFinal } from "../../lib/jobs.ts";
import { Card } from "../../ui/card.tsx";
import { SampleText, SampleTexts, StepSlider, stepsOf, type TextProps } from "../../ui/sample.tsx";
import { bestCheckpoint } from "./header.tsx";
import type { JobStore } from "./store.ts";

export function Samples({ store }: { store: JobStore }) {
  const job = store.job.value!;
  const all = store.samples.value;
  const steps = stepsOf(all);
  const [chosen, setChosen] = useState<number | null>(null);
  const index = chosen === null ? steps.length - 1 : Math.min(chosen, steps.length - 1);
  const shown = chosen === null ? all : all.filter(({ step }) => step === steps[index]);
  return (
    <Card title="Samples during training">
      {!all.length && <p class="soft">{emptyText(job.status, isFinal(job))}</p>}
      {steps.length > 1 && (
        <StepSlider
          {...{ steps, index }}
          choose={setChosen}
          shown={chosen === null ? "all" : undefined}
        >
          {chosen !== null && (
            <button type="button" class="quiet" onClick={() => setChosen(null)}>
              All
            </button>
          )}
        </StepSlider>
      )}
      <SampleTexts samples={shown} />
    </Card>
  );
}

function emptyText(status: string, isEnd: boolean) {
  if (!isEnd) return "Samples appear here during training.";
  const reason = status === "succeeded" ? "This run generated no samples." : "";
  return reason || `The job ${status === "failed" ? "failed" : "stopped"} before its first sample.`;
}

interface Option {
  name: string;
  label: string;
  value: number;
  min: number;
  max: number;
  step: number;
  isOptional?: boolean;
}

const OPTIONS: Option[] = [
  { name: "max_new_tokens", label: "New tokens", value: 60, min: 1, max: 4096, step: 1 },
  { name: "temperature", label: "Temperature", value: 0.8, min: 0, max: 10, step: 0.1 },
  { name: "top_k", label: "Top k", value: 50, min: 1, max: 1e6, step: 1, isOptional: true },
  { name: "seed", label: "Seed", value: 0, min: 0, max: 2147483647, step: 1 },
];

type Written = TextProps | { fault: string };

function faultOf(error: unknown) {
  const faults = error instanceof Refused ? error.problem.errors : undefined;
  if (!faults?.length) return (error as Error).message;
  return faults.map(({ field, message }) => `${field}: ${message}`).join("; ");
}

export function Generate({ store }: { store: JobStore }) {
  const job = store.job.value!;
  const names = (store.checkpoints.value ?? []).map(({ name }) => name);
  const [written, setWritten] = useState<Written[]>([]);
  const [isBusy, setBusy] = useState(false);
  const preferred = bestCheckpoint(store)?.name ?? "";
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    const result = await write(store, form).catch((error) => ({ fault: faultOf(error) }));
    setWritten((before) => [result, ...before]);
    setBusy(false);
  };
  return (
    <Card title="Try the model" actions={preferred && <PlaygroundLink {...{ store, preferred }} />}>
      {names.length ? (
        <GenerateForm
          prompt={job.spec.training?.sample_prompts?.[0] ?? "The dog"}
          {...{ names, preferred, isBusy, submit }}
        />
      ) : (
        <p class="soft">
          {isFinal(job)
            ? "There is no checkpoint to try: the job ended before it saved one."
            : "You can try the model as soon as its first checkpoint is saved."}
        </p>
      )}
      <div class="samples" role="status" aria-live="polite">
        {written.map((one, index) => {
          const key = written.length - index;
          if ("fault" in one) {
            return (
              <p key={key} class="notice error">
                {one.fault}
              </p>
            );
          }
          return <SampleText key={key} {...one} />;
        })}
      </div>
    </Card>
  );
}

function PlaygroundLink({ store, preferred }: { store: JobStore; preferred: string }) {
  return (
    <a class="button" href={`#/playground?checkpoints=${store.id}:${preferred}`}>
      Open in the playground
    </a>
  );
}

async function write(store: JobStore, form: FormData): Promise<TextProps> {
  const prompt = String(form.get("prompt"));
  const body: Record<string, unknown> = { prompt };
  for (const { name, isOptional } of OPTIONS) {
    const value = String(form.get(name));
    body[name] = value === "" && isOptional ? null : Number(value);
  }
  const path = `${store.path}/checkpoints/${form.get("checkpoint")}/generate`;
  const answer = await post<{ text: string; checkpoint: string }>(path, body);
  const note = `${answer.checkpoint}, temperature ${body.temperature}, seed ${body.seed}`;
  return { prompt, text: answer.text, note };
}

interface FormProps {
  prompt: string;
  names: string[];
  preferred: string;
  isBusy: boolean;
  submit: (event: SubmitEvent) => void;
}

function GenerateForm({ prompt, names, preferred, isBusy, submit }: FormProps) {
  return (
    <form onSubmit={submit}>
      <label>
        Prompt
        <textarea name="prompt" rows={2} defaultValue={prompt} />
      </label>
      <div class="fields close">
        <label>
          Checkpoint
          <select name="checkpoint">
            {names.map((name) => (
              <option key={name} value={name} selected={name === preferred}>
                {name}
              </option>
            ))}
          </select>
        </label>
        {OPTIONS.map(({ name, label, value, min, max, step }) => (
          <label key={name}>
            {label}
            <input type="number" name={name} defaultValue={String(value)} {...{ min, max, step }} />
          </label>
        ))}
      </div>
      <div class="bar end">
        {isBusy && (
          <span class="soft small" role="status">
            The first text takes longer, because the service loads the model.
          </span>
        )}
        <button type="submit" class="primary" disabled={isBusy}>
          {isBusy ? "Generating…" : "Generate"}
        </button>
      </div>
    </form>
  );
}
