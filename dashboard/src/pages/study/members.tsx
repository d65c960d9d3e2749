// The jobs of a study by condition and seed.

import type { Study } from "../../api/types.ts";
import { fixed, percent } from "../../lib/format.ts";
import { conditionText } from "../../lib/studies.ts";
import { Card, Table } from "../../ui/card.tsx";

export function Members({ study }: { study: Study }) {
  const { members, metrics } = study;
  return (
    <Card title="Jobs">
      <Table
        caption="Jobs of the study"
        heads={[
          "Job",
          "Condition",
          "#Seed",
          "Status",
          "#Progress",
          ...metrics.map((one) => `#${one}`),
        ]}
        keys={members.map(({ job }) => job)}
        rows={members.map((member) => [
          <a key="job" href={`#/jobs/${member.job}`}>
            {member.job.slice(0, 8)}
          </a>,
          conditionText(member.condition),
          member.seed,
          <span key="status" class={`status ${member.status}`} title={member.error_code ?? ""}>
            {member.status}
          </span>,
          percent(member.progress),
          ...metrics.map((name) => (name in member.values ? fixed(member.values[name], 4) : "")),
        ])}
      />
    </Card>
  );
}
