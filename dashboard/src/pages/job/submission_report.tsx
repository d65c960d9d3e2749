// The rules of the track, and the report of a submission: milestones, and what is missing.

import type { Ledger, SubmissionReport } from "../../api/types.ts";
import { exact, plural } from "../../lib/format.ts";
import { Table } from "../../ui/card.tsx";

const RULES: Record<Ledger["rules"][number]["name"], string> = {
  word_budget: "Words of the training text",
  epochs: "Epochs",
  words_seen: "Words seen",
  tokenizer_corpus: "Text of the tokenizer",
  held_out_text: "Held-out text",
};

export function Rules({ ledger }: { ledger: Ledger }) {
  return (
    <ul class="rules" aria-label={`Rules of the track ${ledger.track}`}>
      {ledger.rules.map(({ name, holds, detail }) => (
        <li key={name} class={holds === null ? "open" : holds ? "ready" : "lacking"}>
          <b>{RULES[name]}</b> {detail}
          <span class="hidden">
            {holds === null ? "(not known yet)" : holds ? "(kept)" : "(broken)"}
          </span>
        </li>
      ))}
    </ul>
  );
}

export function Report({ report }: { report: SubmissionReport }) {
  const reached = report.revisions.length - 1; // without the final model
  const all = reached + report.not_reached.length;
  return (
    <>
      <p>
        {reached} of {plural(all, "milestone")} and the final model are checked: their files have
        the recorded hashes, and they load.
      </p>
      {report.not_reached.length > 0 && (
        <p class="notice">
          <b>Milestones that the run did not reach</b>
          {report.not_reached.join(", ")}
        </p>
      )}
      <Missing report={report} />
      {[...report.differences, ...report.warnings].map((text) => (
        <p key={text} class="notice">
          {text}
        </p>
      ))}
      <details>
        <summary>Checked checkpoints ({report.revisions.length})</summary>
        <Revisions report={report} />
      </details>
    </>
  );
}

function Revisions({ report }: { report: SubmissionReport }) {
  const rows = report.revisions.map(({ branch, checkpoint, step, words_seen, commit }) => [
    branch,
    checkpoint,
    exact(step),
    exact(words_seen),
    <span key="check" class="status succeeded">
      valid
    </span>,
    <code key="commit">{commit.slice(0, 10)}</code>,
  ]);
  return (
    <Table
      caption="Branches of the submission"
      heads={["Branch", "Checkpoint", "#Step", "#Words seen", "Check", "Commit"]}
      rows={rows}
      keys={report.revisions.map(({ branch }) => branch)}
    />
  );
}

// The missing predictions by reason, with the tasks and the checkpoints.
function Missing({ report }: { report: SubmissionReport }) {
  if (!report.missing.length) return null;
  const groups = new Map<string, SubmissionReport["missing"]>();
  for (const one of report.missing) {
    groups.set(one.reason, [...(groups.get(one.reason) ?? []), one]);
  }
  const rows = [...groups].map(([reason, group]) => [
    unique(group.map(({ task }) => task)).join(", "),
    reason,
    someOf(unique(group.map(({ checkpoint }) => checkpoint))),
  ]);
  return (
    <>
      <h3>Missing predictions ({exact(report.missing.length)})</h3>
      <Table
        caption="Missing predictions"
        kind="missing"
        heads={["Tasks", "Reason", "Checkpoints"]}
        rows={rows}
        keys={[...groups.keys()]}
      />
      <p class="soft small">
        <a href="#/evaluations">Add evaluation files</a>, then build the submission again. The
        (Super)GLUE tasks need fine-tuning: evaluate the final model on the folder{" "}
        <code>glue_filtered</code>.
      </p>
    </>
  );
}

const unique = (names: string[]) => [...new Set(names)];

function someOf(names: string[]) {
  return names.length > 3 ? plural(names.length, "checkpoint") : names.join(", ");
}
