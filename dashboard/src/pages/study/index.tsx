// A study: the table of its conditions, its jobs, and the actions on the study.

import { useMemo } from "preact/hooks";
import { download, get, post } from "../../api/client.ts";
import { Resource } from "../../api/resource.ts";
import { poll } from "../../api/stream.ts";
import type { Study } from "../../api/types.ts";
import { when } from "../../lib/format.ts";
import { isJobId } from "../../lib/ids.ts";
import { isFinal } from "../../lib/jobs.ts";
import { act, askSeeds, countsText, eraseStudy } from "../../lib/studies.ts";
import { Button, guarded, Menu } from "../../ui/controls.tsx";
import { Failure, NotFound, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { Members } from "./members.tsx";
import { Conditions } from "./table.tsx";

export function StudyPage({ parts: [id] }: PageProps) {
  if (!id || !isJobId(id)) {
    return <NotFound>“{id ?? ""}” is not the id of a study. Check the address.</NotFound>;
  }
  return <Loaded id={id} />;
}

function Loaded({ id }: { id: string }) {
  const study = useMemo(() => {
    const load = (signal: AbortSignal) => get<Study | null>(`/v1/studies/${id}`, signal);
    return new Resource<Study | null>(null, load);
  }, [id]);
  const { error, again } = useTask((abort) => poll(() => study.read(abort), abort), [id]);
  useTitle(study.value?.name ?? "Study");
  if (error) return <Failure error={error} again={again} />;
  if (!study.value) return <p class="soft">Loading…</p>;
  const write = (send: () => Promise<Study>) => study.write(send);
  return (
    <>
      <Head study={study.value} write={write} />
      <div class="stack">
        <Conditions study={study.value} />
        <Members study={study.value} />
      </div>
    </>
  );
}

interface Props {
  study: Study;
  // Sends a change of the study, and shows the answer.
  write: (send: () => Promise<Study>) => Promise<unknown>;
}

function Head({ study, write }: Props) {
  const isOver = study.members.every(isFinal);
  const canResume = study.members.some(({ status }) =>
    ["paused", "failed", "cancelled"].includes(status),
  );
  const run = (action: "cancel" | "resume") => write(() => act(study, action));
  const note = `Study · ${countsText(study.counts)} · seeds ${study.seeds.join(", ")} · created ${when(study.created_at)}`;
  return (
    <PageHead title={study.name} note={note}>
      {!isOver && <Button act={() => run("cancel")}>Cancel all</Button>}
      {canResume && <Button act={() => run("resume")}>Resume</Button>}
      <Button
        act={() => download(`/v1/studies/${study.id}/csv`, `study-${study.id.slice(0, 8)}.csv`)}
      >
        CSV
      </Button>
      <More study={study} write={write} isOver={isOver} />
    </PageHead>
  );
}

function More({ study, write, isOver }: Props & { isOver: boolean }) {
  const addSeeds = async () => {
    const detail = "The new total number of seeds of each condition, including the existing seeds.";
    const seeds = await askSeeds("Add seeds", detail, study.seeds.length + 1);
    if (seeds === null) return;
    await write(() => post<Study>(`/v1/studies/${study.id}/seeds`, { seeds }));
  };
  return (
    <Menu label="⋯" name="More actions">
      <button type="button" onClick={() => guarded(addSeeds)}>
        Add seeds
      </button>
      <a href={`#/compare?jobs=${study.members.map(({ job }) => job).join(",")}&group=seeds`}>
        Compare curves
      </a>
      {isOver && (
        <button type="button" class="danger" onClick={() => guarded(() => eraseStudy(study))}>
          Delete
        </button>
      )}
    </Menu>
  );
}
