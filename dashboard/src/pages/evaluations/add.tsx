// Uploading files into a task. The service parses each file and refuses a file with an invalid
// line.

import type { EvaluationTask, OfficialTasks } from "../../api/types.ts";
import { isTaskName } from "../../lib/ids.ts";
import { setParameters } from "../../router.ts";
import { Card } from "../../ui/card.tsx";
import { NameField } from "../../ui/controls.tsx";
import { UploadBox } from "../corpora/upload.tsx";

interface Props {
  tasks: EvaluationTask[];
  official: OfficialTasks;
  // The name of the task, which the address contains.
  name: string;
  again: () => void;
}

export function AddFiles({ tasks, official, name, again }: Props) {
  const known = official.data.find((one) => one.name === name || one.folder === name);
  const suggestions = new Set([
    ...official.data.map((task) => task.folder ?? task.name),
    ...tasks.map((task) => task.name),
  ]);
  return (
    <Card title="Add files" id="add-files" class="section">
      <div class="fields wide">
        <NameField
          label="Task"
          id="task-name"
          list="task-names"
          placeholder="blimp_fast, or a name of your own"
          value={name}
          onChange={(task) => setParameters({ task })}
        />
        <datalist id="task-names">
          {[...suggestions].sort().map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      </div>
      <p class="soft small below">
        {known
          ? `${known.title}: choose all files of the folder ${known.path}.`
          : "A task of your own has .jsonl files with the fields sentence_good and sentence_bad."}
      </p>
      <UploadBox
        folder={isTaskName(name) ? `/v1/evaluations/${name}` : null}
        what="task"
        onDone={again}
      >
        <p>Drop the files of the task here, without changes, or a zip or tar archive of them.</p>
        <p class="soft small">.jsonl, .csv or .json. Each file is parsed before it is added.</p>
      </UploadBox>
    </Card>
  );
}
