// The official tasks: whether they have files, what they are needed for, and where the files are.

import type { EvaluationTask, OfficialTask, OfficialTasks } from "../../api/types.ts";
import { bytes, plural } from "../../lib/format.ts";
import { Card, Table } from "../../ui/card.tsx";
import { Marked } from "../../ui/marks.tsx";

const PURPOSES: Record<OfficialTask["purposes"][number], string> = {
  final_model: "final model",
  milestones: "each milestone",
  finetuning: "fine-tuning",
};

interface Props {
  tasks: EvaluationTask[];
  official: OfficialTasks;
  choose: (task: string) => void;
}

export function Official({ tasks, official, choose }: Props) {
  const { data, download } = official;
  const present = data.filter(({ folder }) => folder !== null);
  const rows = data.map((task) => [
    task.title,
    task.purposes.map((purpose) => PURPOSES[purpose]).join(", "),
    <Files key="files" task={task} known={tasks.find(({ name }) => name === task.folder)} />,
    <Place key="place" task={task} />,
    <button
      key="add"
      type="button"
      aria-label={`Add files of ${task.title}`}
      onClick={() => choose(task.folder ?? task.name)}
    >
      Add files
    </button>,
  ]);
  return (
    <Card title="Official tasks of the BabyLM challenge">
      <p class="soft">
        {present.length} of {data.length} tasks have files. The organizers publish them in the
        folder <code>evaluation_data</code> at <a href={download}>{download.slice(8)}</a>; the
        service never downloads anything itself.
      </p>
      <Table
        caption="Official tasks"
        kind="official"
        heads={["Task", "Needed for", "Files", "Where the files are", ""]}
        rows={rows}
        keys={data.map(({ name }) => name)}
      />
    </Card>
  );
}

function Files({ task, known }: { task: OfficialTask; known: EvaluationTask | undefined }) {
  if (task.folder === null) return <span class="status">missing</span>;
  if (known?.error) return <span class="status failed">{known.error}</span>;
  const size = known ? `${plural(known.paradigms, "file")}, ${bytes(known.bytes)}` : "present";
  return <span class="status succeeded">{size}</span>;
}

function Place({ task }: { task: OfficialTask }) {
  return (
    <div class="place">
      <code>{task.path}</code>
      {task.note && (
        <small class="soft">
          <Marked>{task.note}</Marked>
        </small>
      )}
    </div>
  );
}
