// A new job: its text, a preset, every option, and an estimate of time and memory.

import { useState } from "preact/hooks";
import { count, plural, seconds } from "../../lib/format.ts";
import { isJobId } from "../../lib/ids.ts";
import { Card } from "../../ui/card.tsx";
import { Failure, NotAJob, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { Code, Needs } from "./aside.tsx";
import { Form } from "./form.tsx";
import { NewJob, type Preset, readCatalogue } from "./store.ts";

export function NewJobPage({ parts }: PageProps) {
  const from = parts[0] || undefined;
  if (from !== undefined && !isJobId(from)) return <NotAJob id={from} />;
  return <Page from={from} />;
}

function Page({ from }: { from: string | undefined }) {
  useTitle("New job");
  const [job, setJob] = useState<NewJob | null>(null);
  const { error, again } = useTask(async (signal) => {
    setJob(new NewJob(await readCatalogue(from, signal), signal));
  }, []);
  if (error) return <Failure error={error} again={again} />;
  if (!job) return null;
  const { earlier } = job.catalogue;
  const note = earlier && (
    <>
      Starts from the spec of <a href={`#/jobs/${from}`}>{earlier.name}</a>.
    </>
  );
  return (
    <>
      <PageHead title="New job" note={note} />
      <div class="new">
        <div class="stack">
          <Data job={job} />
          <Presets job={job} />
          <Form job={job} />
        </div>
        <div class="stack aside">
          <Needs job={job} />
          <Code job={job} />
        </div>
      </div>
    </>
  );
}

// Shown while there is no corpus other than the sample.
function Data({ job }: { job: NewJob }) {
  const { corpora } = job.catalogue;
  const own = corpora.filter(({ name }) => !name.startsWith("sample"));
  if (own.length) return null;
  return (
    <Card title="Text to train on">
      <p>
        {corpora.length
          ? "Only the sample corpus is available. It is enough to try the service in a few minutes."
          : "There is no corpus yet."}
      </p>
      <p class="soft">
        BabyLM's text, <code>train_10M</code>, <code>train_100M</code> and <code>dev</code>, is
        published by the BabyLM Community on Hugging Face and at osf.io/ad7qg.{" "}
        <a href="#/corpora">Upload a corpus</a>, or put its folder into the data directory.
      </p>
    </Card>
  );
}

function Presets({ job }: { job: NewJob }) {
  const chosen = job.preset?.name;
  const known = job.catalogue.corpora.map(({ name }) => name);
  return (
    <Card title="Start from">
      <fieldset class="presets" aria-label="Presets">
        {job.catalogue.presets.map((preset) => (
          <PresetCard
            key={preset.name}
            preset={preset}
            job={job}
            isChosen={preset.name === chosen}
            hasText={known.includes(preset.spec.data.dataset)}
          />
        ))}
        <button
          type="button"
          aria-pressed={chosen === undefined}
          onClick={() => job.choosePreset(undefined)}
        >
          No preset
          <small>Every option has its default.</small>
        </button>
      </fieldset>
    </Card>
  );
}

interface CardProps {
  preset: Preset;
  job: NewJob;
  isChosen: boolean;
  hasText: boolean;
}

function PresetCard({ preset, job, isChosen, hasText }: CardProps) {
  const { name, description, parameter_count: parameters, spec } = preset;
  const { device } = job.catalogue;
  const estimate = isChosen && job.isCurrent.value ? job.estimate.value : null;
  const time = estimate?.seconds[device];
  const place = device === "cuda" ? "on your GPU" : "on two CPU cores";
  const facts = [
    `${count(parameters)} parameters`,
    plural(spec.training.epochs, "epoch"),
    time && `≈ ${seconds(time)} ${place}`,
  ].filter(Boolean);
  return (
    <button type="button" aria-pressed={isChosen} onClick={() => job.choosePreset(name)}>
      {name}
      <small>{facts.join(" · ")}</small>
      <small>{description}</small>
      {!hasText && <small class="warn">Needs the corpus {spec.data.dataset}</small>}
    </button>
  );
}
