// The sections of the form. In each section, the important fields come first.

import { useEffect, useState } from "preact/hooks";
import { get } from "../../api/client.ts";
import type { FieldEntry } from "../../lib/schema.ts";
import { Card } from "../../ui/card.tsx";
import { Choices } from "../../ui/controls.tsx";
import { Lines, type PreviewLine } from "../corpora/lines.tsx";
import { Field } from "./field.tsx";
import type { NewJob } from "./store.ts";

const BASICS = ["name", "track"];
const IMPORTANT: Record<string, string[]> = {
  data: ["dataset", "validation", "sources", "style"],
  tokenizer: ["vocab_size"],
  init_from: ["job", "checkpoint", "path"],
  model: [
    ...["hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"],
    ...["intermediate_size", "num_local_experts"],
  ],
  training: [
    ...["epochs", "max_steps", "seq_length", "batch_size", "learning_rate", "schedule"],
    ...["precision", "seed"],
  ],
  evaluation: ["tasks", "checkpoints"],
};
const HEADINGS: Record<string, string> = {
  data: "Text",
  tokenizer: "Tokenizer",
  init_from: "Initial weights",
  model: "Model",
  training: "Training",
  evaluation: "Evaluation",
  resources: "Where it runs",
};

export function Form({ job }: { job: NewJob }) {
  const { architecture } = job;
  return (
    <>
      <Card title="Job">
        <Fields job={job} fields={job.fields("")} important={BASICS} />
      </Card>
      {job.sections().map((name) => (
        <Card key={name === "model" ? architecture : name} title={HEADINGS[name] ?? name}>
          {name === "model" && <ArchitectureChoice job={job} />}
          <Fields job={job} fields={job.fields(name)} important={IMPORTANT[name] ?? []} />
          {name === "data" && <Preview job={job} />}
        </Card>
      ))}
    </>
  );
}

interface FieldsProps {
  job: NewJob;
  fields: FieldEntry[];
  important: string[];
}

function Fields({ job, fields, important }: FieldsProps) {
  const rank = ({ path }: FieldEntry) => important.indexOf(path.split(".").at(-1)!);
  const first = fields.filter((entry) => rank(entry) >= 0).sort((a, b) => rank(a) - rank(b));
  const rest = fields.filter((entry) => rank(entry) < 0);
  const isFaulty = rest.some(({ path }) => job.faults.value.has(path));
  const [isOpen, setOpen] = useState(false);
  const list = (entries: FieldEntry[]) => (
    <div class="fields">
      {entries.map((entry) => (
        <Field key={entry.path} job={job} entry={entry} suggestions={suggestions(job, entry)} />
      ))}
    </div>
  );
  if (!first.length) return list(rest);
  return (
    <>
      {list(first)}
      {rest.length > 0 && (
        <details
          class="more"
          open={isOpen || isFaulty}
          onToggle={(event) => setOpen(event.currentTarget.open)}
        >
          <summary>All options ({rest.length} more)</summary>
          {list(rest)}
        </details>
      )}
    </>
  );
}

// Names in the data directory, for fields whose value is such a name.
function suggestions(job: NewJob, { path }: FieldEntry): string[] | undefined {
  const { corpora, tasks } = job.catalogue;
  if (path === "data.dataset" || path === "data.validation") return corpora.map(({ name }) => name);
  if (path === "evaluation.tasks") return tasks.map(({ name }) => name);
  if (path === "data.sources") {
    const dataset = job.values.value.get("data.dataset") ?? job.defaults.value["data.dataset"];
    return corpora.find(({ name }) => name === dataset)?.sources;
  }
  return undefined;
}

function ArchitectureChoice({ job }: { job: NewJob }) {
  const { architectures } = job.catalogue;
  const about = architectures.find(({ name }) => name === job.architecture);
  const source = about?.source;
  return (
    <div class="field architecture">
      <Choices
        label="Architecture"
        value={job.architecture}
        onChange={(name) => job.chooseArchitecture(name)}
        options={Object.keys(job.models).map((name) => ({
          value: name,
          label: architectures.find((one) => one.name === name)?.title ?? name,
        }))}
      />
      {source && (
        <span class="hint">
          Described at{" "}
          {source.startsWith("https:") ? (
            <a href={source} rel="noreferrer">
              {source}
            </a>
          ) : (
            source
          )}
        </span>
      )}
      {job.note.value && (
        <p class="notice below" role="status">
          {job.note.value}
        </p>
      )}
    </div>
  );
}

const PREVIEW_FILES = 6;
const PREVIEW_LINES = 8;

interface DatasetPreview {
  files: { name: string; preview: PreviewLine[] }[];
}

function Preview({ job }: { job: NewJob }) {
  const data = job.estimate.value?.spec.data;
  const dataset: string | undefined = data?.dataset;
  const [found, setFound] = useState<DatasetPreview | null>(null);
  useEffect(() => {
    setFound(null);
    if (!dataset || !job.catalogue.corpora.some(({ name }) => name === dataset)) return;
    const controller = new AbortController();
    get<DatasetPreview>(`/v1/datasets/${encodeURIComponent(dataset)}`, controller.signal)
      .then(setFound)
      .catch(() => {}); // the form works without the preview
    return () => controller.abort();
  }, [dataset]);
  if (!found) return null;
  return (
    <details class="more">
      <summary>Lines of {dataset}, before and after cleaning</summary>
      {found.files.slice(0, PREVIEW_FILES).map(({ name, preview }) => (
        <div key={name}>
          <h3>{name}</h3>
          <Lines lines={preview.slice(0, PREVIEW_LINES)} />
        </div>
      ))}
    </details>
  );
}
