// The samples of a run during training, by step.

import { useEffect, useState } from "preact/hooks";
import { get } from "../../api/client.ts";
import type { JobEvent } from "../../api/types.ts";
import type { CheckpointId } from "../../lib/ids.ts";
import { Card } from "../../ui/card.tsx";
import { type Sample, SampleTexts, StepSlider, stepsOf } from "../../ui/sample.tsx";
import type { Playground } from "./store.ts";

const EVENTS = 1000;

export function RunSamples({ store, chosen }: { store: Playground; chosen: CheckpointId[] }) {
  const ids = [...new Set(chosen.map(({ job }) => job))];
  const [wanted, setWanted] = useState("");
  const id = ids.includes(wanted) ? wanted : ids[0];
  if (!id) return null;
  const choice = ids.length > 1 && (
    <select aria-label="Run" value={id} onChange={(event) => setWanted(event.currentTarget.value)}>
      {ids.map((one) => (
        <option key={one} value={one}>
          {store.nameOf(one)}
        </option>
      ))}
    </select>
  );
  return (
    <Card title={`Samples during training of ${store.nameOf(id)}`} actions={choice}>
      <StepSamples key={id} id={id} />
    </Card>
  );
}

function StepSamples({ id }: { id: string }) {
  const [samples, setSamples] = useState<Sample[] | null>(null);
  const [fault, setFault] = useState("");
  const [chosen, setChosen] = useState(Number.MAX_SAFE_INTEGER);
  useEffect(() => {
    const controller = new AbortController();
    const path = `/v1/jobs/${id}/events?types=sample&limit=${EVENTS}`;
    get<{ data: JobEvent[] }>(path, controller.signal)
      .then(({ data }) => setSamples(data.map((event) => ({ seq: event.seq, ...event.data }))))
      .catch((error) => !controller.signal.aborted && setFault(error.message));
    return () => controller.abort();
  }, [id]);
  if (fault) {
    return (
      <p class="notice error" role="alert">
        {fault}
      </p>
    );
  }
  if (!samples) return <p class="soft">Loading…</p>;
  const steps = stepsOf(samples);
  if (!steps.length) return <p class="soft">This run generated no samples.</p>;
  const index = Math.min(chosen, steps.length - 1);
  return (
    <>
      <StepSlider {...{ steps, index }} choose={setChosen} />
      <SampleTexts samples={samples.filter(({ step }) => step === steps[index])} />
    </>
  );
}
