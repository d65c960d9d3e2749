// Mean, deviation and best value of each condition, and its comparison with the baseline.

import type { Study, StudySummary } from "../../api/types.ts";
import { conditionText } from "../../lib/studies.ts";
import { Card, Table } from "../../ui/card.tsx";

const DIGITS = 4;
const VERDICTS: Record<string, string> = {
  baseline: "baseline",
  better: "better",
  worse: "worse",
  within_noise: "within noise",
  too_few_seeds: "too few seeds",
};
const NOTE =
  "Only succeeded jobs count. A difference counts only above two pooled standard deviations.";

export function Conditions({ study }: { study: Study }) {
  if (!study.metrics.length) {
    return (
      <Card title="Conditions" note={NOTE}>
        <p class="soft">No job has been validated or evaluated so far.</p>
      </Card>
    );
  }
  return (
    <>
      {study.metrics.map((name) => (
        <Card key={name} title={name} note={NOTE}>
          <Table
            caption={`Conditions by ${name}`}
            heads={["Condition", "#Seeds", "#Mean ± deviation", "#Best", "#Difference", "Verdict"]}
            rows={study.table.map(({ condition, metrics }) => [
              conditionText(condition),
              ...cells(metrics[name]),
            ])}
          />
        </Card>
      ))}
    </>
  );
}

function cells(summary: StudySummary | undefined): string[] {
  if (!summary) return ["0", "", "", "", ""];
  const { n, mean, deviation, best, difference, verdict } = summary;
  const spread = deviation === null ? "" : ` ± ${deviation.toFixed(DIGITS)}`;
  const sign = difference !== null && difference > 0 ? "+" : "";
  return [
    String(n),
    mean.toFixed(DIGITS) + spread,
    best.toFixed(DIGITS),
    difference === null ? "" : sign + difference.toFixed(DIGITS),
    verdict ? VERDICTS[verdict] : "",
  ];
}
