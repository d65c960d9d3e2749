// A minimal pair typed by the user: which of the two sentences does each checkpoint prefer?

import { useState } from "preact/hooks";
import { fixed } from "../../lib/format.ts";
import { type CheckpointId, keyOf } from "../../lib/ids.ts";
import { Card } from "../../ui/card.tsx";
import { SurprisalKey, SurprisalText } from "../../ui/surprisal.tsx";
import type { PairScore, Playground } from "./store.ts";

const EXAMPLE = ["The dogs near the tree run.", "The dogs near the tree runs."] as const;

interface Props {
  store: Playground;
  chosen: CheckpointId[];
}

export function Pair({ store, chosen }: Props) {
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    await store.scorePair(chosen, [String(form.get("good")), String(form.get("bad"))]);
    setBusy(false);
  };
  return (
    <Card title="Score a minimal pair">
      <p class="soft small">
        Two sentences that differ in one respect. The model prefers the one with the lower total
        surprisal, as in BLiMP.
      </p>
      <form onSubmit={submit}>
        <div class="halves">
          <label>
            Acceptable sentence
            <input type="text" name="good" required maxLength={2000} defaultValue={EXAMPLE[0]} />
          </label>
          <label>
            Unacceptable sentence
            <input type="text" name="bad" required maxLength={2000} defaultValue={EXAMPLE[1]} />
          </label>
        </div>
        <div class="bar end">
          <button type="submit" class="primary" disabled={isBusy || !chosen.length}>
            {isBusy ? "Scoring…" : "Score"}
          </button>
        </div>
      </form>
      <PairScores store={store} chosen={chosen} />
    </Card>
  );
}

function PairScores({ store, chosen }: Props) {
  const shown = chosen.filter((one) => store.pairs.value.has(keyOf(one)));
  if (!shown.length) return null;
  return (
    <>
      <div class="columns" role="status">
        {shown.map((one) => (
          <section key={keyOf(one)} aria-label={`Pair scored by ${store.labelOf(one)}`}>
            <h3>{store.labelOf(one)}</h3>
            <Verdict found={store.pairs.value.get(keyOf(one))!} />
          </section>
        ))}
      </div>
      <SurprisalKey />
    </>
  );
}

function Verdict({ found }: { found: PairScore }) {
  if (!found.scored) {
    return (
      <p class="notice error" role="alert">
        {found.fault}
      </p>
    );
  }
  const [good, bad] = found.scored;
  const margin = bad.surprisal - good.surprisal;
  const kind = margin > 0 ? "succeeded" : margin < 0 ? "failed" : "paused";
  const text =
    margin > 0
      ? "prefers the acceptable sentence"
      : margin < 0
        ? "prefers the unacceptable sentence"
        : "prefers neither sentence";
  return (
    <>
      <p>
        <span class={`status ${kind}`}>{text}</span>{" "}
        <span class="soft small">by {fixed(Math.abs(margin), 1)} bits</span>
      </p>
      <h4>Acceptable: {fixed(good.surprisal, 1)} bits</h4>
      <SurprisalText scored={good} label="Tokens of the acceptable sentence" />
      <h4>Unacceptable: {fixed(bad.surprisal, 1)} bits</h4>
      <SurprisalText scored={bad} label="Tokens of the unacceptable sentence" />
    </>
  );
}
