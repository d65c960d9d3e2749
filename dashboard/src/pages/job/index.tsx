// The page of one job.

import { useEffect, useState } from "preact/hooks";
import { percent } from "../../lib/format.ts";
import { isJobId } from "../../lib/ids.ts";
import { isTokenizer } from "../../lib/jobs.ts";
import { yaml } from "../../lib/spec.ts";
import { Card } from "../../ui/card.tsx";
import { CopyButton } from "../../ui/controls.tsx";
import { Failure, NotAJob, useTask } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { JobCharts } from "./charts.tsx";
import { Checkpoints } from "./checkpoints.tsx";
import { Evaluations } from "./evaluations.tsx";
import { Header } from "./header.tsx";
import { Log } from "./log.tsx";
import { Notices, Overview } from "./overview.tsx";
import { Generate, Samples } from "./samples.tsx";
import { Sections } from "./sections.tsx";
import { CorpusReport } from "./stages.tsx";
import { JobStore } from "./store.ts";
import { SubmissionCard } from "./submission.tsx";

export function JobPage({ parts, parameters }: PageProps) {
  const id = parts[0] ?? "";
  if (!isJobId(id)) return <NotAJob id={id} />;
  return <LoadedJob id={id} parameters={parameters} />;
}

function LoadedJob({ id, parameters }: { id: string; parameters: URLSearchParams }) {
  const [store, setStore] = useState<JobStore | null>(null);
  const { error, again } = useTask(
    async (signal) => {
      const made = new JobStore(id, signal);
      setStore(made);
      await made.load();
    },
    [id],
  );
  if (error) return <Failure error={error} again={again} />;
  if (!store?.job.value) return null;
  return <Content store={store} parameters={parameters} />;
}

interface ContentProps {
  store: JobStore;
  parameters: URLSearchParams;
}

function Content({ store, parameters }: ContentProps) {
  const job = store.job.value!;
  const progress = job.status === "running" && job.progress ? `${percent(job.progress)} ` : "";
  useEffect(() => {
    document.title = `${progress}${job.name} – BabyLM`;
  }, [progress, job.name]);
  const hasModel = !isTokenizer(job);
  const hasTrack = hasModel && job.spec.track !== "free";
  const section = parameters.get("section");
  return (
    <>
      <Header store={store} />
      <Notices store={store} wanted={parameters.get("alert")} />
      <Sections {...{ hasModel, hasTrack }} wanted={section} isLoading={store.isLoading.value} />
      <Overview store={store} />
      {hasModel && <JobCharts store={store} />}
      {hasModel && (
        <div class="halves section" id="samples">
          <Samples store={store} />
          <Generate store={store} />
        </div>
      )}
      {hasModel && <Evaluations store={store} />}
      {hasModel && <Checkpoints store={store} />}
      {hasTrack && <SubmissionCard store={store} />}
      <CorpusReport store={store} />
      <Log id={store.id} />
      <Config store={store} />
    </>
  );
}

function Config({ store }: { store: JobStore }) {
  const job = store.job.value!;
  const text = yaml(job.spec);
  return (
    <Card
      title="Config"
      id="config"
      class="section"
      actions={
        <>
          <CopyButton text={() => text} />
          <a class="button" href={`#/new/${job.id}`}>
            New job like this
          </a>
        </>
      }
    >
      <details>
        <summary>Show the spec as YAML</summary>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
        <pre class="code" tabIndex={0}>
          {text}
        </pre>
      </details>
    </Card>
  );
}
