// The estimate, the start button, and the job as YAML and as commands.

import { useState } from "preact/hooks";
import { type Device, deviceText, type Estimate, isMeasured } from "../../lib/estimate.ts";
import { bytes, count, exact, plural, seconds, sentence } from "../../lib/format.ts";
import { command, curl, python, yaml } from "../../lib/spec.ts";
import { navigate } from "../../router.ts";
import { Card, type Fact, Numbers } from "../../ui/card.tsx";
import { Button, Choices, CopyButton } from "../../ui/controls.tsx";
import type { NewJob } from "./store.ts";

const UNMEASURED = "An assumption: no running worker has measured the speed of such a device";

export function Needs({ job }: { job: NewJob }) {
  const estimate = job.estimate.value;
  const isCurrent = job.isCurrent.value;
  return (
    <Card title="What it will need">
      <div aria-live="polite" aria-busy={!isCurrent}>
        {estimate ? (
          <Numbers facts={factsOf(estimate).map((fact) => (isCurrent ? fact : pending(fact)))} />
        ) : (
          <p class="soft">
            {job.faults.value.size ? "Correct the marked fields first." : "Estimating…"}
          </p>
        )}
        {estimate && isCurrent && (
          <div class="warnings">
            {estimate.warnings.map((warning) => (
              <p key={warning} class="notice">
                {sentence(warning)}
              </p>
            ))}
          </div>
        )}
      </div>
      <div role="alert">
        {job.general.value.map(({ field, message }) => (
          <p key={`${field} ${message}`} class="notice error">
            {field && <b>{field}</b>}
            {message}
          </p>
        ))}
      </div>
      <Start job={job} />
    </Card>
  );
}

// The numbers of an earlier state of the form are not shown.
function pending([name]: Fact): Fact {
  return [name, "…"];
}

function about(value: number | null, text: (value: number) => string) {
  return value === null ? "–" : `≈ ${text(value)}`;
}

function factsOf(answer: Estimate): Fact[] {
  return [
    ["Parameters", count(answer.parameter_count), exact(answer.parameter_count)],
    ["Words", count(answer.words), exact(answer.words)],
    ["Tokens", about(answer.tokens, count)],
    ["Steps", about(answer.steps, count)],
    ["Words seen", count(answer.words_seen)],
    ["Tokens per step", count(answer.tokens_per_step)],
    ["Memory", about(answer.device_memory_bytes, bytes)],
    ["Disk", about(answer.disk_bytes, bytes)],
    ...(Object.entries(answer.seconds) as [Device, number | null][]).map(
      ([device, value]): Fact => [
        `Time on ${deviceText(answer, device)}`,
        value !== null && value < 1 ? "under 1 s" : about(value, seconds),
        isMeasured(answer, device) ? "From the measured speed" : UNMEASURED,
      ],
    ),
  ];
}

function Start({ job }: { job: NewJob }) {
  const faults = job.faults.value;
  const start = async () => {
    const page = await job.start();
    if (page) navigate(page);
    else showFault(job);
  };
  return (
    <div class="bar end">
      {faults.size > 0 && (
        <button type="button" class="attention" onClick={() => showFault(job)}>
          {plural(faults.size, "field needs", "fields need")} attention
        </button>
      )}
      <Seeds job={job} />
      <Button
        class="primary"
        disabled={faults.size > 0 || job.general.value.length > 0}
        act={start}
      >
        Start training
      </Button>
    </div>
  );
}

// The number of seeds; the spec is trained once with each seed.
function Seeds({ job }: { job: NewJob }) {
  const change = (event: Event) => {
    const number = Number((event.target as HTMLInputElement).value);
    if (Number.isInteger(number) && number >= 1) job.seeds.value = number;
  };
  return (
    <label
      class="inline seeds"
      title="With more than one, a study shows mean and deviation over the seeds."
    >
      Repeat with seeds
      <input type="number" min={1} max={200} value={job.seeds.value} onChange={change} />
    </label>
  );
}

// Scrolls to the first invalid field.
function showFault(job: NewJob) {
  const [path] = job.faults.value.keys();
  if (!path) return;
  const node = document.getElementById(`field-${path.replaceAll(".", "-")}`);
  node?.closest("details")?.setAttribute("open", "");
  node?.scrollIntoView({ block: "center" });
  node?.focus({ preventScroll: true });
}

type Form = "YAML" | "curl" | "babylm" | "Python";

export function Code({ job }: { job: NewJob }) {
  const [form, setForm] = useState<Form>("YAML");
  const forms: Record<Form, () => string> = {
    YAML: () => yaml(job.spec) || "{}\n",
    curl: () => curl(job.spec),
    babylm: () => command(job.spec, [...job.values.value]),
    Python: () => python(job.spec),
  };
  const text = forms[form]();
  const choices = (
    <Choices
      label="Format"
      value={form}
      onChange={setForm}
      options={(Object.keys(forms) as Form[]).map((value) => ({ value, label: value }))}
    />
  );
  return (
    <Card
      title="The same job as text"
      actions={
        <>
          {choices}
          <CopyButton text={() => text} />
        </>
      }
    >
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
      {/* biome-ignore lint/a11y/useAriaPropsSupportedByRole: the name is for screen readers */}
      <pre class="code" tabIndex={0} aria-label="The spec">
        {text}
      </pre>
    </Card>
  );
}
