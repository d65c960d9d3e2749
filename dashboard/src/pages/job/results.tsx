// Results of one evaluation: by paradigm, domain or condition, and by group of items.

import type { Evaluation } from "../../api/types.ts";
import { exact, fixed, percent } from "../../lib/format.ts";
import { Table } from "../../ui/card.tsx";

type Part = Evaluation["paradigms"][number];

// What a row of the results is called, by kind of task. In all other tasks, it is called a subset.
const PARTS: Record<string, string> = {
  minimal_pairs: "Paradigm",
  ewok: "Domain",
  entity_tracking: "Condition",
  comps: "Condition",
  wug: "Word pattern",
  reading: "Measure",
  aoa: "Measure",
};

// A score in the unit of its metric.
export function scoreText(value: number | null, metric: string | null): string {
  if (metric === "spearman") return value === null ? "–" : `ρ = ${fixed(value).replace("-", "−")}`;
  if (metric === "r2_gain") return value === null ? "–" : `ΔR² = ${percent(value, 2)}`;
  if (metric === "log_probability")
    return value === null ? "–" : `${fixed(value).replace("-", "−")} nats`;
  return percent(value, 1);
}

const METRICS: Record<string, string> = {
  accuracy: "Share of items for which the model prefers the right candidate; a tie counts as right",
  spearman: "Rank correlation between the model and human judgements, from −1 to 1",
  log_probability: "Mean log-probability of a word after its context, in nats; higher is better",
  r2_gain: "Variance of the reading times that surprisal explains in addition to the baseline",
};

export function metricText(metric: string | null) {
  return METRICS[metric ?? "accuracy"] ?? metric ?? "";
}

export function EvaluationDetails({ row }: { row: Evaluation }) {
  const { kind, metric, paradigms, groups } = row;
  const part = PARTS[kind ?? ""] ?? "Subset";
  const by = [...new Set(groups.map((group) => group.by))];
  const label = `${row.task} on ${row.checkpoint}`;
  if (paradigms.length < 2 && !groups.length) return null;
  return (
    <details class="results-by">
      <summary>
        {label}: results by {[part, ...by].map(plainName).join(", ")}
      </summary>
      <p class="soft small">{metricText(metric)}.</p>
      {paradigms.length > 0 && (
        <Parts
          label={label}
          title={`By ${plainName(part)}`}
          head={part}
          parts={paradigms}
          metric={metric}
        />
      )}
      {by.map((name) => (
        <Parts
          key={name}
          label={label}
          title={`By ${plainName(name)}`}
          head={headOf(name)}
          parts={groups.filter((group) => group.by === name)}
          metric={metric}
        />
      ))}
    </details>
  );
}

function plainName(name: string) {
  return name.replaceAll("_", " ").toLowerCase();
}

function headOf(name: string) {
  const text = name.replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
}

interface PartsProps {
  // Names of the task and the checkpoint.
  label: string;
  title: string;
  head: string;
  parts: Pick<Part, "name" | "pairs" | "score" | "strict_score">[];
  metric: string | null;
}

// A table of scores, the best first. Only accuracies can have ties.
function Parts({ label, title, head, parts, metric }: PartsProps) {
  const isAccuracy = metric === null || metric === "accuracy";
  const sorted = [...parts].sort((a, b) => b.score - a.score);
  const rows = sorted.map(({ name, pairs, score, strict_score: strict }) => [
    name.replaceAll("_", " "),
    <Bar key="bar" name={name} score={score} metric={metric} />,
    ...(isAccuracy ? [percent(strict, 1)] : []),
    exact(pairs),
  ]);
  const heads = [head, "#Score", ...(isAccuracy ? ["#Score, ties wrong"] : []), "#Items"];
  return (
    <>
      <h3>{title}</h3>
      <Table
        caption={`${label}: ${title.toLowerCase()}`}
        heads={heads}
        rows={rows}
        keys={sorted.map(({ name }) => name)}
      />
    </>
  );
}

function Bar({ name, score, metric }: { name: string; score: number; metric: string | null }) {
  const text = scoreText(score, metric);
  return (
    <span class="score-bar">
      {metric !== "r2_gain" && metric !== "log_probability" && (
        <meter min={0} max={1} value={Math.max(0, score)} aria-label={`${name}: ${text}`} />
      )}
      <span>{text}</span>
    </span>
  );
}
