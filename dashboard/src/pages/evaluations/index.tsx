// The official evaluation tasks, the other tasks, and a form that uploads files.

import { useState } from "preact/hooks";
import { get } from "../../api/client.ts";
import { poll } from "../../api/stream.ts";
import type { EvaluationTask, OfficialTasks } from "../../api/types.ts";
import { setParameters } from "../../router.ts";
import { Failure, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { AddFiles } from "./add.tsx";
import { Official } from "./official.tsx";
import { OwnTasks } from "./own.tsx";

const LOOK_MILLISECONDS = 5000;

interface State {
  tasks: EvaluationTask[];
  official: OfficialTasks;
}

export function EvaluationsPage({ parameters }: PageProps) {
  useTitle("Evaluation files");
  const [state, setState] = useState<State | null>(null);
  const { error, again } = useTask(
    (signal) =>
      poll(
        async () => {
          const [tasks, official] = await Promise.all([
            get<{ data: EvaluationTask[] }>("/v1/evaluations", signal),
            get<OfficialTasks>("/v1/evaluations/official", signal),
          ]);
          setState({ tasks: tasks.data, official });
        },
        signal,
        LOOK_MILLISECONDS,
      ),
    [],
  );
  if (error) return <Failure error={error} again={again} />;
  const choose = (task: string) => {
    setParameters({ task });
    document.getElementById("add-files")?.scrollIntoView({ block: "start" });
    document.getElementById("task-name")?.focus({ preventScroll: true });
  };
  return (
    <>
      <PageHead
        title="Evaluation files"
        note={
          <>
            The tasks on which you can evaluate a checkpoint or a submission to the challenge. The
            scores of your jobs are in <a href="#/">the list of jobs</a>.
          </>
        }
      />
      {state && (
        <div class="stack">
          <Official {...state} choose={choose} />
          <OwnTasks {...state} again={again} />
          <AddFiles {...state} name={parameters.get("task") ?? ""} again={again} />
        </div>
      )}
    </>
  );
}
