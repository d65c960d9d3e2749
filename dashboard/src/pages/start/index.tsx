// The guided start: a text, a model, and the start of the training.

import { useLayoutEffect, useMemo, useState } from "preact/hooks";
import { peek } from "../../api/client.ts";
import { setParameters } from "../../router.ts";
import { Failure, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { type Catalogue, NewJob, readCatalogue } from "../new/store.ts";
import { PresetTimes } from "../new/times.ts";
import { applyChoices, firstText, recommendedPreset, specOf } from "./choice.ts";
import { Launch } from "./launch.tsx";
import { ModelStep } from "./models.tsx";
import { TextStep } from "./texts.tsx";

export function StartPage({ parameters }: PageProps) {
  useTitle("Guided start");
  const [catalogue, setCatalogue] = useState<Catalogue | null>(null);
  const { error, again } = useTask(async (signal) => {
    setCatalogue(await readCatalogue(undefined, signal));
  }, []);
  if (error) return <Failure error={error} again={again} />;
  const choices = { text: parameters.get("text"), preset: parameters.get("preset") };
  return (
    <>
      <PageHead
        title="Train a model"
        note={
          <>
            Three steps. <a href="#/new">The form</a> has every option.
          </>
        }
      />
      {catalogue ? (
        <Steps catalogue={catalogue} {...choices} again={again} />
      ) : (
        <p class="soft">Loading…</p>
      )}
    </>
  );
}

interface Props {
  catalogue: Catalogue;
  text: string | null;
  preset: string | null;
  // Reads the catalogue again, after text was added.
  again: () => void;
}

function Steps({ catalogue, text: wantedText, preset: wantedPreset, again }: Props) {
  const { corpora, presets, device } = catalogue;
  const text = corpora.find(({ name }) => name === wantedText)?.name ?? firstText(corpora);
  const summary = corpora.find(({ name }) => name === text);
  const recommended = recommendedPreset(summary, device);
  const preset = presets.find(({ name }) => name === (wantedPreset ?? recommended)) ?? presets[0];
  const [job, setJob] = useState<NewJob | null>(null);
  const estimate = job?.estimate.value;
  // The estimates change when a worker has measured its speed and when the text is cleaned.
  const basis = `${estimate?.measured_devices} ${estimate?.words}`;
  const times = useMemo(() => new PresetTimes(), [catalogue, text]);
  useTask(
    (signal) => times.read(presets, (one) => specOf(one, text, corpora), signal),
    [times, presets, basis],
  );
  useTask(
    async (signal) => {
      // The first request starts the cleaning of the text, which counts its words.
      if (text) await peek(`/v1/datasets/${encodeURIComponent(text)}`, signal);
    },
    [text],
  );
  useTask(
    async (signal) => {
      const made = new NewJob(catalogue, signal);
      applyChoices(made, preset.name, text);
      setJob(made);
      await made.watch();
    },
    [catalogue],
  );
  // A layout effect, because it runs before the next event. `useEffect` runs later: until then the
  // estimate of the previous choices could enable the button, and a click would submit them.
  useLayoutEffect(() => {
    if (job) applyChoices(job, preset.name, text);
  }, [job, preset.name, text]);
  return (
    <div class="stack start">
      <TextStep
        corpora={corpora}
        chosen={text}
        choose={(name) => setParameters({ text: name })}
        again={again}
      />
      <ModelStep
        {...{ catalogue, times, recommended }}
        words={summary?.words}
        chosen={preset.name}
        choose={(name) => setParameters({ preset: name })}
      />
      {job && <Launch job={job} preset={preset} text={text} />}
    </div>
  );
}
