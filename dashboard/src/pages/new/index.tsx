// A new job: a preset, every option, and an estimate of time and memory.

import { useState } from "preact/hooks";
import { isJobId } from "../../lib/ids.ts";
import { Card } from "../../ui/card.tsx";
import { Failure, NotAJob, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { Code, Needs } from "./aside.tsx";
import { PresetCard } from "./cards.tsx";
import { Form } from "./form.tsx";
import { NewJob, readCatalogue } from "./store.ts";
import { PresetTimes } from "./times.ts";

export function NewJobPage({ parts, parameters }: PageProps) {
  const from = parts[0] || undefined;
  if (from !== undefined && !isJobId(from)) return <NotAJob id={from} />;
  return <Page from={from} preset={parameters.get("preset")} text={parameters.get("text")} />;
}

interface Props {
  from: string | undefined;
  // A preset and a dataset to start from.
  preset: string | null;
  text: string | null;
}

function Page({ from, preset, text }: Props) {
  useTitle("New job");
  const [job, setJob] = useState<NewJob | null>(null);
  const [times] = useState(() => new PresetTimes());
  const { error, again } = useTask(async (signal) => {
    const made = new NewJob(await readCatalogue(from, signal), signal);
    if (made.catalogue.presets.some(({ name }) => name === preset)) made.choosePreset(preset!);
    if (text) made.chooseText(text);
    setJob(made);
    const { presets } = made.catalogue;
    await Promise.all([
      made.watch(),
      times.read(presets, ({ name }) => ({ preset: name }), signal),
    ]);
  }, []);
  if (error) return <Failure error={error} again={again} />;
  if (!job) return <p class="soft">Loading…</p>;
  const { earlier } = job.catalogue;
  const note = earlier ? (
    <>
      Starts from the spec of <a href={`#/jobs/${from}`}>{earlier.name}</a>.
    </>
  ) : (
    <>
      Every option. <a href="#/start">The guided start</a> asks only for a text and a model.
    </>
  );
  return (
    <>
      <PageHead title="New job" note={note} />
      <div class="new">
        <div class="stack">
          <Presets job={job} times={times} />
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

function Presets({ job, times }: { job: NewJob; times: PresetTimes }) {
  const chosen = job.preset?.name;
  const known = job.catalogue.corpora.map(({ name }) => name);
  return (
    <Card title="Start from">
      <fieldset class="presets" aria-label="Presets">
        {job.catalogue.presets.map((preset) => (
          <PresetCard
            key={preset.name}
            preset={preset}
            catalogue={job.catalogue}
            estimate={times.found.value.get(preset.name)}
            words={preset.words}
            isChosen={preset.name === chosen}
            choose={() => job.choosePreset(preset.name)}
          >
            {!known.includes(preset.spec.data.dataset) && (
              <span class="warn">needs the dataset {preset.spec.data.dataset}</span>
            )}
          </PresetCard>
        ))}
        <button
          type="button"
          class="preset"
          aria-pressed={chosen === undefined}
          onClick={() => job.choosePreset(undefined)}
        >
          <b>No preset</b>
          <small>Every option has its default.</small>
        </button>
      </fieldset>
    </Card>
  );
}
