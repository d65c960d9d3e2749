// One prompt, continued by every chosen checkpoint; tokens are coloured once the text is complete.

import { useState } from "preact/hooks";
import { type CheckpointId, keyOf } from "../../lib/ids.ts";
import { setParameters } from "../../router.ts";
import { Card } from "../../ui/card.tsx";
import { SurprisalKey, SurprisalText } from "../../ui/surprisal.tsx";
import type { Output, Playground } from "./store.ts";

const PROMPT = "The dog";
const FIELDS = [
  { name: "max_new_tokens", label: "New tokens", value: 40, min: 1, max: 400, step: 1 },
  { name: "temperature", label: "Temperature", value: 0.8, min: 0, max: 10, step: 0.1 },
  { name: "top_k", label: "Top k", value: 50, min: 1, max: 1_000_000, step: 1 },
  { name: "seed", label: "Seed", value: 0, min: 0, max: 2_147_483_647, step: 1 },
] as const;

interface Props {
  store: Playground;
  chosen: CheckpointId[];
  prompt: string | null;
}

export function Write({ store, chosen, prompt }: Props) {
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = String(form.get("prompt"));
    const number = (name: string) => Number(form.get(name));
    setParameters({ prompt: text });
    setBusy(true);
    await store.generate(chosen, text, {
      max_new_tokens: number("max_new_tokens"),
      temperature: number("temperature"),
      top_k: form.get("top_k") ? number("top_k") : null,
      seed: number("seed"),
    });
    setBusy(false);
  };
  return (
    <Card title="Continue a prompt">
      <form onSubmit={submit}>
        <label>
          Prompt
          <textarea name="prompt" rows={2} maxLength={2000} defaultValue={prompt ?? PROMPT} />
        </label>
        <div class="fields close">
          {FIELDS.map(({ name, label, value, ...limits }) => (
            <label key={name}>
              {label}
              <input type="number" name={name} defaultValue={String(value)} {...limits} />
            </label>
          ))}
        </div>
        <div class="bar end">
          <button type="submit" class="primary" disabled={isBusy || !chosen.length}>
            {isBusy ? "Generating…" : "Generate"}
          </button>
        </div>
      </form>
      <Outputs store={store} chosen={chosen} />
    </Card>
  );
}

function Outputs({ store, chosen }: Pick<Props, "store" | "chosen">) {
  const outputs = store.outputs.value;
  const shown = chosen.filter((one) => outputs.has(keyOf(one)));
  if (!shown.length) return null;
  return (
    <>
      <div class="columns">
        {shown.map((one) => (
          <section key={keyOf(one)} aria-label={store.labelOf(one)}>
            <h3>{store.labelOf(one)}</h3>
            <Written output={outputs.get(keyOf(one))!} label={`Text of ${store.labelOf(one)}`} />
          </section>
        ))}
      </div>
      <SurprisalKey />
    </>
  );
}

const STATES: Record<string, string> = {
  waiting: "Waits for its turn…",
  writing: "Writing…",
  scoring: "Computing the surprisal…",
};

function Written({ output, label }: { output: Output; label: string }) {
  const { text, state, scored, fault, note } = output;
  if (scored) return <SurprisalText scored={scored} label={label} />;
  return (
    <>
      {text && <p class="sample">{text}</p>}
      {fault && (
        <p class="notice error" role="alert">
          {fault}
        </p>
      )}
      <p class="soft small" role="status">
        {STATES[state] ?? note}
      </p>
    </>
  );
}
