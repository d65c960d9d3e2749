// Training a tokenizer without a model; every other option is on the page of a new job.

import { useState } from "preact/hooks";
import { post, Refused } from "../../api/client.ts";
import type { Job } from "../../api/types.ts";
import { isTrainingText, textOf } from "../../lib/texts.ts";
import { navigate } from "../../router.ts";
import { Card } from "../../ui/card.tsx";

const VOCABULARY = 8000;

export function Train({ names }: { names: string[] }) {
  const [corpus, setCorpus] = useState(names.find((name) => isTrainingText(name)) ?? "");
  const [fault, setFault] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [chosen, setChosen] = useState<string | null>(null);
  const suggested = textOf(corpus, names).validation ?? "";
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    setFault("");
    try {
      const job = await post<Job>("/v1/tokenizers", {
        data: { dataset: corpus, validation: String(form.get("validation")) || null },
        tokenizer: { vocab_size: Number(form.get("size")) },
      });
      navigate(`#/jobs/${job.id}`);
    } catch (error) {
      setFault(faultText(error));
      setBusy(false);
    }
  };
  if (!names.length) {
    return (
      <Card title="Train only a tokenizer">
        <p class="soft">
          You need a corpus first: <a href="#/corpora">upload one</a>.
        </p>
      </Card>
    );
  }
  const options = names.map((name) => (
    <option key={name} value={name}>
      {name}
    </option>
  ));
  return (
    <Card title="Train only a tokenizer">
      <form class="task" noValidate onSubmit={submit}>
        <label>
          Corpus
          <select
            value={corpus}
            onChange={(event) => {
              setCorpus(event.currentTarget.value);
              setChosen(null);
            }}
          >
            {corpus === "" && <option value="">choose</option>}
            {options}
          </select>
        </label>
        <label>
          Validation corpus
          <select
            name="validation"
            value={chosen ?? suggested}
            onChange={(event) => setChosen(event.currentTarget.value)}
          >
            <option value="">none</option>
            {options}
          </select>
        </label>
        <label>
          Vocabulary size
          <input type="number" name="size" defaultValue={String(VOCABULARY)} min={1} step={1} />
        </label>
        <button type="submit" class="primary" disabled={isBusy}>
          Train
        </button>
      </form>
      <div role="status">{fault && <p class="notice error">{fault}</p>}</div>
      <p class="soft small">
        To use it in a job, set <code>tokenizer.from_job</code> to the id of the tokenizer job.
      </p>
    </Card>
  );
}

function faultText(error: unknown) {
  const faults = error instanceof Refused ? error.problem.errors : undefined;
  if (!faults?.length) return (error as Error).message;
  return faults.map(({ field, message }) => `${field}: ${message}`).join("; ");
}
