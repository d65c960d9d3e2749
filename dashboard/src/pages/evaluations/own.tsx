// The tasks in the data directory that are not official, and the minimal pairs of the sample.

import { post } from "../../api/client.ts";
import type { EvaluationTask, OfficialTasks } from "../../api/types.ts";
import { bytes, exact } from "../../lib/format.ts";
import { Card, Table } from "../../ui/card.tsx";
import { Button } from "../../ui/controls.tsx";

const SAMPLE_PAIRS = "minimal_pairs";

interface Props {
  tasks: EvaluationTask[];
  official: OfficialTasks;
  again: () => void;
}

export function OwnTasks({ tasks, official, again }: Props) {
  const folders = official.data.map(({ folder }) => folder);
  const own = tasks.filter(({ name }) => !folders.includes(name));
  const rows = own.map(({ name, kind, paradigms, bytes: size, error }) => [
    name,
    error ? <span class="bad">{error}</span> : kindText(name, kind),
    exact(paradigms),
    bytes(size),
  ]);
  const add = async () => {
    await post("/v1/sample");
    again();
  };
  return (
    <Card title="Other tasks">
      <Table
        caption="Other tasks"
        heads={["Task", "Kind", "#Files", "#Size"]}
        rows={rows}
        keys={own.map(({ name }) => name)}
        empty="There are no other tasks. You can upload minimal pairs of your own below."
      />
      {!tasks.some(({ name }) => name === SAMPLE_PAIRS) && (
        <div class="bar below">
          <Button act={add}>Add the minimal pairs of the sample text</Button>
          <span class="soft small">
            1,000 minimal pairs in the toy English of the sample text; they cover five phenomena.
          </span>
        </div>
      )}
    </Card>
  );
}

function kindText(name: string, kind: string | null) {
  const text = (kind ?? "unknown kind").replaceAll("_", " ");
  return name === SAMPLE_PAIRS ? `${text} of the sample` : text;
}
