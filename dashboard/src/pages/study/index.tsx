// A study: the table of its conditions, its jobs, and the actions on the study.

import { signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { download, get, post } from "../../api/client.ts";
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
  const study = useMemo(() => signal<Study | null>(null), [id]);
  const { error, again } = useTask(
    (abort) =>
      poll(async () => {
        study.value = await get<Study>(`/v1/studies/${id}`, abort);
      }, abort),
    [id],
  );
  useTitle(study.value?.name ?? "Study");
  if (error) return <Failure error={error} again={again} />;
  if (!study.value) return <p class="soft">Loading…</p>;
  const show = (changed: Study) => {
    study.value = changed;
  };
  return (
    <>
      <Head study={study.value} show={show} />
      <div class="stack">
        <Conditions study={study.value} />
        <Members study={study.value} />
      </div>
    </>
  );
}

interface Props {
  study: Study;
  show: (study: Study) => void;
}

function Head({ study, show }: Props) {
  const isOver = study.members.every(isFinal);
  const canResume = study.members.some(({ status }) =>
    ["paused", "failed", "cancelled"].includes(status),
  );
  const run = async (action: "cancel" | "resume") => show(await act(study, action));
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
      <More study={study} show={show} isOver={isOver} />
    </PageHead>
  );
}

function More({ study, show, isOver }: Props & { isOver: boolean }) {
  const addSeeds = async () => {
    const detail = "The new total number of seeds of each condition, including the existing seeds.";
    const seeds = await askSeeds("Add seeds", detail, study.seeds.length + 1);
    if (seeds !== null) show(await post<Study>(`/v1/studies/${study.id}/seeds`, { seeds }));
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
