// The state of the form for a new job: chosen values, defaults, and the answer of the API.

import { signal } from "@preact/signals";
import { get, post, Refused } from "../../api/client.ts";
import { poll } from "../../api/stream.ts";
import type { Job, Spec } from "../../api/types.ts";
import type { Device, Estimate } from "../../lib/estimate.ts";
import { leaves } from "../../lib/jobs.ts";
import {
  defaultsOf,
  type FieldEntry,
  fieldsOf,
  nested,
  resolve,
  type Schema,
} from "../../lib/schema.ts";
import { createStudy } from "../../lib/studies.ts";
import { textOf } from "../../lib/texts.ts";
import type { Summary } from "../corpora/index.tsx";

const WAIT_MILLISECONDS = 300;
const REFRESH_MILLISECONDS = 20_000;
const SIZES = [
  ...["hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"],
  ...["intermediate_size", "max_position_embeddings", "tie_word_embeddings"],
];

export interface Preset {
  name: string;
  description: string;
  parameter_count: number;
  // Number of words of its dataset in the BabyLM challenge.
  words: number | null;
  spec: Spec;
}
export interface Architecture {
  name: string;
  title: string;
  source?: string;
}
export interface Catalogue {
  presets: Preset[];
  root: Schema;
  corpora: Summary[];
  tasks: { name: string }[];
  architectures: Architecture[];
  device: Device;
  earlier: Job | null;
}

export async function readCatalogue(from: string | undefined, signal: AbortSignal) {
  type Data<T> = { data: T[] };
  const [presets, root, corpora, tasks, architectures, workers, earlier] = await Promise.all([
    get<Data<Preset>>("/v1/presets", signal),
    get<Schema>("/openapi.json", signal),
    get<Data<Summary>>("/v1/datasets", signal),
    get<Data<{ name: string }>>("/v1/evaluations", signal),
    get<Data<Architecture>>("/v1/architectures", signal),
    get<Data<{ devices: { kind: string }[] }>>("/v1/workers", signal),
    from ? get<Job>(`/v1/jobs/${from}`, signal) : null,
  ]);
  const hasGpu = workers.data.some(({ devices }) => devices.some(({ kind }) => kind === "cuda"));
  const catalogue: Catalogue = {
    presets: presets.data,
    root,
    corpora: corpora.data,
    tasks: tasks.data,
    architectures: architectures.data,
    device: hasGpu ? "cuda" : "cpu",
    earlier,
  };
  return catalogue;
}

export class NewJob {
  values = signal<Map<string, unknown>>(new Map());
  defaults = signal<Spec>({});
  // Defaults that the service derives from the chosen values.
  derived = signal<Spec>({});
  estimate = signal<Estimate | null>(null);
  // Whether the estimate belongs to the current values.
  isCurrent = signal(false);
  faults = signal<Map<string, string>>(new Map());
  // Errors that belong to no field of the form.
  general = signal<{ field: string; message: string }[]>([]);
  note = signal("");
  // Number of seeds; with more than one, a study repeats the spec.
  seeds = signal(1);
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly catalogue: Catalogue,
    private abort: AbortSignal,
  ) {
    if (catalogue.earlier) this.startFrom(catalogue.earlier);
    else this.choosePreset(this.firstPreset()?.name);
  }

  // Repeats the estimate, because the text, the workers and their measured speed may change.
  watch(): Promise<void> {
    return poll(() => this.look(), this.abort, REFRESH_MILLISECONDS);
  }

  get schema(): Schema {
    return this.catalogue.root.components.schemas.JobSpec;
  }

  get models(): Record<string, string> {
    return this.schema.properties.model.discriminator.mapping;
  }

  get architecture(): string {
    const chosen = this.values.value.get("model.architecture");
    return String(chosen ?? this.defaults.value["model.architecture"] ?? "llama4");
  }

  get preset() {
    const name = this.values.value.get("preset");
    return this.catalogue.presets.find((preset) => preset.name === name);
  }

  get spec(): Spec {
    return nested(this.values.value);
  }

  private modelSchema(architecture: string) {
    return resolve({ $ref: this.models[architecture] }, this.catalogue.root);
  }

  // The fields of a section; for an empty name, the fields outside all sections.
  fields(section: string): FieldEntry[] {
    const { root } = this.catalogue;
    if (section === "model") return fieldsOf("model", this.modelSchema(this.architecture), root);
    if (section) {
      const part = this.schema.properties[section];
      return fieldsOf(section, resolve(part.allOf?.[0] ?? part, root), root);
    }
    return fieldsOf("", this.schema, root, ["preset", "model"]).filter(
      ({ path }) => !path.includes("."),
    );
  }

  private firstPreset() {
    const { presets, corpora } = this.catalogue;
    const names = corpora.map(({ name }) => name);
    return presets.find(({ spec }) => names.includes(spec.data.dataset)) ?? presets[0];
  }

  set(path: string, value: unknown) {
    const values = new Map(this.values.value);
    if (value === undefined) values.delete(path);
    else values.set(path, value);
    this.replace(values, path === "name");
  }

  private replace(values: Map<string, unknown>, isName = false) {
    this.values.value = values;
    if (!isName) this.isCurrent.value = false; // the estimate does not depend on the name
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), WAIT_MILLISECONDS);
  }

  choosePreset(name: string | undefined) {
    const values = new Map([...this.values.value].filter(([path]) => path === "name"));
    if (name) values.set("preset", name);
    this.useDefaults(this.catalogue.presets.find((preset) => preset.name === name)?.spec ?? {});
    this.note.value = "";
    this.replace(values);
  }

  // Replaces the training text of the preset. Also chooses the validation text that belongs to the
  // new text, or none.
  chooseText(dataset: string) {
    const known = this.catalogue.corpora.map(({ name }) => name);
    const text = textOf(dataset, known);
    for (const path of ["dataset", "validation"] as const) {
      const chosen = text[path];
      const isDefault = chosen === this.defaults.value[`data.${path}`];
      this.set(`data.${path}`, isDefault ? undefined : chosen);
    }
  }

  private useDefaults(spec: Spec) {
    const { name: _, ...rest } = leaves(spec);
    this.defaults.value = rest;
    this.derived.value = {};
  }

  // Leaves out the values that the user chose. Otherwise a field that the user clears would show
  // the old choice as its default.
  private withoutChosen(spec: Spec): Spec {
    const { values } = this;
    return Object.fromEntries(Object.entries(spec).filter(([path]) => !values.value.has(path)));
  }

  // Another architecture keeps the sizes of the preset, so that the model stays comparable.
  chooseArchitecture(name: string) {
    if (name === this.architecture) return;
    const known = this.modelSchema(name).properties;
    const values = new Map(
      [...this.values.value].filter(
        ([path]) => !path.startsWith("model.") || path.slice("model.".length) in known,
      ),
    );
    const { preset } = this;
    const model = preset?.spec.model;
    this.note.value = "";
    if (model?.architecture === name) {
      for (const size of [...SIZES, "architecture", "head_dim"]) values.delete(`model.${size}`);
    } else {
      values.set("model.architecture", name);
      if (model) this.keepSizes(model, known, values);
    }
    this.replace(values);
  }

  private keepSizes(model: Spec, known: Schema, values: Map<string, unknown>) {
    for (const size of SIZES) {
      if (size in known && size in model) values.set(`model.${size}`, model[size]);
    }
    if ("head_dim" in known) {
      values.set("model.head_dim", Math.floor(model.hidden_size / model.num_attention_heads));
    }
    const title = this.catalogue.architectures.find(({ name }) => name === model.architecture);
    this.note.value =
      `The preset “${this.preset!.name}” is for ${title?.title ?? model.architecture}. ` +
      "This job keeps its sizes; compare the parameter count before you start.";
  }

  private async look() {
    const sent = this.spec;
    const text = JSON.stringify(sent);
    const isOld = () => this.abort.aborted || text !== JSON.stringify(this.spec);
    try {
      const answer = await post<Estimate>("/v1/jobs/estimate", sent, this.abort);
      if (isOld()) return;
      this.refuse([]);
      this.estimate.value = answer;
      this.derived.value = this.withoutChosen(leaves(answer.spec));
      this.isCurrent.value = true;
    } catch (error) {
      if (isOld()) return;
      if (error instanceof Refused) this.refused(error);
      else {
        clearTimeout(this.timer); // the connection was lost
        this.timer = setTimeout(() => this.look(), WAIT_MILLISECONDS * 5);
      }
    }
  }

  private refused(error: Refused) {
    this.estimate.value = null; // do not show the estimate of another spec
    this.isCurrent.value = false;
    this.refuse(error.problem.errors ?? [{ field: "", message: error.message }]);
  }

  private refuse(errors: { field: string; message: string }[]) {
    const paths = ["", ...this.sections()].flatMap((section) =>
      this.fields(section).map(({ path }) => path),
    );
    const faults = new Map<string, string>();
    const general = [];
    for (const { field, message } of errors) {
      // The error of a list entry, such as data.sources.0, belongs to the field of the list.
      const path = paths.find((known) => field === known || field.startsWith(`${known}.`));
      if (path) faults.set(path, [faults.get(path), message].filter(Boolean).join("; "));
      else general.push({ field, message });
    }
    this.faults.value = faults;
    this.general.value = general;
  }

  sections(): string[] {
    return Object.entries<Schema>(this.schema.properties)
      .filter(([, part]) => part.$ref || part.discriminator || part.allOf)
      .map(([name]) => name);
  }

  // Submits the job, or a study of several seeds. Returns the page of the new job or study, or null
  // if the service refused it.
  async start(): Promise<string | null> {
    const { seeds, spec } = this;
    try {
      if (seeds.value > 1) return `#/studies/${(await createStudy(spec, seeds.value)).id}`;
      return `#/jobs/${(await post<Job>("/v1/jobs", spec)).id}`;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refused(error);
      return null;
    }
  }

  // Copies the values of an earlier job that differ from its preset or from the defaults.
  private startFrom({ spec }: Job) {
    const preset = this.catalogue.presets.find(({ name }) => name === spec.preset);
    const values = new Map<string, unknown>();
    if (preset) values.set("preset", preset.name);
    this.useDefaults(preset?.spec ?? {});
    const isOther = preset && preset.spec.model.architecture !== spec.model.architecture;
    const base = preset ? this.defaults.value : leaves(this.schemaDefaults(spec));
    for (const [path, value] of Object.entries(leaves(spec))) {
      if (path === "preset" || path === "name") continue;
      const before = isOther && path.startsWith("model.") ? undefined : base[path];
      if (JSON.stringify(before ?? null) !== JSON.stringify(value)) values.set(path, value);
    }
    if (isOther || !preset) values.set("model.architecture", spec.model.architecture);
    const isNamed =
      spec.name !== `${spec.preset ?? spec.model.architecture} on ${spec.data.dataset}`;
    if (isNamed) values.set("name", nextName(spec.name));
    this.replace(values);
  }

  private schemaDefaults(spec: Spec): Spec {
    const { root } = this.catalogue;
    const result = defaultsOf(this.schema, root);
    result.model = defaultsOf(this.modelSchema(spec.model.architecture), root);
    return result;
  }
}

// A copy has a name of its own: "run" is followed by "run (2)".
export function nextName(name: string): string {
  const found = /^(.*) \((\d+)\)$/.exec(name);
  return found ? `${found[1]} (${Number(found[2]) + 1})` : `${name} (2)`;
}
