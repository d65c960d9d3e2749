// The third step: a summary, the errors of the service, and the start.

import { timeText } from "../../lib/estimate.ts";
import { bytes, exact, sentence } from "../../lib/format.ts";
import { navigate } from "../../router.ts";
import { Card, Numbers } from "../../ui/card.tsx";
import { Button } from "../../ui/controls.tsx";
import { sizeText } from "../new/cards.tsx";
import type { NewJob, Preset } from "../new/store.ts";

interface Props {
  job: NewJob;
  preset: Preset;
  text: string | undefined;
}

export function Launch({ job, preset, text }: Props) {
  const isReady = job.isCurrent.value && text !== undefined;
  const start = async () => {
    const page = await job.start();
    if (page) navigate(page);
  };
  const form = `#/new?preset=${preset.name}${text ? `&text=${encodeURIComponent(text)}` : ""}`;
  return (
    <Card title="3. Start">
      <Summary job={job} text={text} />
      <Faults job={job} form={form} />
      <div class="bar">
        <Button class="primary" disabled={!isReady} act={start}>
          Start training
        </Button>
        <a class="button" href={form}>
          Every option
        </a>
      </div>
    </Card>
  );
}

function Summary({ job, text }: { job: NewJob; text: string | undefined }) {
  const estimate = job.isCurrent.value ? job.estimate.value : null;
  const { device } = job.catalogue;
  if (text === undefined) return <p class="soft">Add a text first.</p>;
  return (
    <div aria-live="polite" aria-busy={estimate === null}>
      <Numbers
        kind="launch"
        facts={[
          ["Text", text],
          ["Words", estimate?.words ? sizeText(estimate.words) : "…"],
          [
            "Parameters",
            estimate ? sizeText(estimate.parameter_count) : "…",
            exact(estimate?.parameter_count),
          ],
          ["Memory", estimate ? `≈ ${bytes(estimate.device_memory_bytes)}` : "…"],
          ["Time", estimate ? (timeText(estimate, device) ?? "unknown") : "…"],
        ]}
      />
      {estimate?.warnings.map((warning) => (
        <p key={warning} class="notice below">
          {sentence(warning)}
        </p>
      ))}
    </div>
  );
}

// Errors of the service. The guided start has no fields for them, so they link to the form.
function Faults({ job, form }: { job: NewJob; form: string }) {
  const faults = [
    ...[...job.faults.value].map(([field, message]) => ({ field, message })),
    ...job.general.value,
  ];
  return (
    <div role="alert">
      {faults.map(({ field, message }) => (
        <p key={`${field} ${message}`} class="notice error">
          {field && <b>{field}</b>}
          {message} <a href={form}>Change it in the form</a>
        </p>
      ))}
    </div>
  );
}
