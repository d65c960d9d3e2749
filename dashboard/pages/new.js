// A new job: a form from the API's own schema, what the job will need while it is typed, and the same
// spec as YAML and as commands.

import { get, post, Refused } from "/static/api.js";
import { button, card, copyButton, el, numbers, put, putIfChanged } from "/static/dom.js";
import { bytes, count, exact, seconds } from "/static/format.js";
import { leaves } from "/static/jobfacts.js";
import { Field, fieldOf, fieldsOf, nested, resolve, showFaults } from "/static/schema.js";
import { babylm, curl, yaml } from "/static/yaml.js";
import { previewNode } from "/static/preview.js";

const WAIT_MILLISECONDS = 300;
// Shown first; every other field of the schema, new ones too, is one fold further.
const IMPORTANT = {
  data: ["dataset", "validation", "sources", "style"],
  tokenizer: ["vocab_size"],
  model: ["hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size", "num_local_experts"],
  training: ["epochs", "max_steps", "seq_length", "batch_size", "learning_rate", "schedule", "precision", "seed"],
  evaluation: ["tasks", "checkpoints"],
};
const HEADINGS = { data: "Text", tokenizer: "Tokenizer", model: "Model", training: "Training", evaluation: "Evaluation" };
const FORMS = [["YAML", (spec) => yaml(spec) || "{}\n"], ["curl", curl], ["babylm", babylm]];

export async function show({ page, signal }, from) {
  document.title = "New job – BabyLM";
  const [presets, openapi, datasets, tasks, architectures, earlier] = await Promise.all([
    get("/v1/presets"), get("/openapi.json"), get("/v1/datasets"), get("/v1/evaluations"), get("/v1/architectures"), from ? get(`/v1/jobs/${from}`) : null]);
  const root = openapi;
  const schema = openapi.components.schemas.JobSpec;
  const models = schema.properties.model.discriminator.mapping;
  const values = new Map();
  let fields = [];
  let defaults = {};
  let timer;
  let form = 0;

  const summary = el("div", { role: "alert" });
  const needs = el("div", { "aria-live": "polite" }, el("p", { class: "soft" }, "Counting…"));
  const code = el("pre", { class: "code", tabIndex: 0, "aria-label": "The spec" });
  const codes = el("div", { class: "choices", role: "group", "aria-label": "Written as" });
  const sections = el("div", { class: "stack" });
  const presetList = el("div", { class: "presets", role: "group", "aria-label": "Presets" });
  const preview = el("div");
  const submit = button("Start training", start, { class: "primary" });
  const spec = () => nested(values);
  const corpora = datasets.data.map(({ name }) => name);
  // What lies in the data directory, for the fields that name it.
  const names = { "data.dataset": corpora, "data.validation": corpora, "evaluation.tasks": tasks.data.map(({ name }) => name) };

  function make(path, field) {
    const made = new Field(path, field, { values, onChange: later, suggestions: names[path] ?? null });
    made.setDefault(defaults[path] ?? field.default ?? (field.mayBeNull ? null : undefined));
    return made;
  }

  function architecture() {
    return values.get("model.architecture") ?? defaults["model.architecture"] ?? "llama4";
  }

  // The schema decides what there is; only its order and its fold are ours.
  function drawForm() {
    fields = [];
    const basics = fieldsOf("", schema, root, { important: ["name", "track"], skip: ["preset", ...Object.keys(HEADINGS).filter((name) => name in schema.properties)], make });
    fields.push(...basics.fields);
    const parts = Object.entries(schema.properties).filter(([, part]) => part.$ref || part.discriminator || part.allOf).map(([name, part]) => {
      const inner = name === "model" ? resolve({ $ref: models[architecture()] }, root) : fieldOf(part, root);
      const made = fieldsOf(name, inner, root, { important: IMPORTANT[name] ?? [], make });
      fields.push(...made.fields);
      return card(HEADINGS[name] ?? name, name === "model" && architectureChoice(), made.node, name === "data" && preview);
    });
    put(sections, card("Job", basics.node), parts);
  }

  function architectureChoice() {
    const about = architectures.data.find(({ name }) => name === architecture());
    return el("div", { class: "field architecture" }, el("div", { class: "choices", role: "group", "aria-label": "Architecture" },
      Object.keys(models).map((name) => button(architectures.data.find((kind) => kind.name === name)?.title ?? name, () => chooseArchitecture(name), { "aria-pressed": String(name === architecture()), data: { key: `architecture ${name}` } }))),
    about?.source && el("span", { class: "hint" }, "After ", /^https:/.test(about.source) ? el("a", { href: about.source, rel: "noreferrer" }, about.source) : about.source));
  }

  function chooseArchitecture(name) {
    if (name === architecture()) return;
    const known = resolve({ $ref: models[name] }, root).properties;
    for (const path of [...values.keys()]) {
      if (path.startsWith("model.") && !(path.slice(6) in known)) values.delete(path);
    }
    values.set("model.architecture", name);
    drawForm();
    sections.querySelector(`[data-key="architecture ${name}"]`)?.focus();
    later();
  }

  function drawPresets() {
    const chosen = values.get("preset");
    const choice = (name, label, note) => button([label, el("small", {}, note)], () => choosePreset(name), { "aria-pressed": String(chosen === name), data: { key: `preset ${name ?? "none"}` } });
    putIfChanged(presetList, chosen ?? null, () => [
      ...presets.data.map((preset) => choice(preset.name, preset.name, `${count(preset.parameter_count)} parameters. ${preset.description}`)),
      choice(undefined, "No preset", "The defaults of every option.")]);
  }

  function choosePreset(name) {
    const kept = [...values].filter(([path]) => path === "name");
    values.clear();
    for (const [path, value] of kept) values.set(path, value);
    if (name) values.set("preset", name);
    setDefaults(presets.data.find((preset) => preset.name === name)?.spec ?? {});
    drawPresets();
    drawForm();
    later();
  }

  function setDefaults(known) {
    defaults = leaves(known);
    delete defaults.name;
  }

  function refuse(error) {
    const errors = error.problem?.errors ?? [{ field: "", message: error.message }];
    showFaults(fields, errors, summary);
    drawCode();
  }

  async function look() {
    drawCode();
    const sent = spec();
    try {
      const answer = await post("/v1/jobs/estimate", sent, { signal });
      if (signal.aborted || JSON.stringify(sent) !== JSON.stringify(spec())) return;
      showFaults(fields, [], summary);
      submit.disabled = false;
      const resolved = leaves(answer.spec);
      for (const field of fields) if (!values.has(field.path) && field.path in resolved) field.setDefault(resolved[field.path]);
      put(needs, needsNode(answer));
      drawPreview(answer.spec.data);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refused)) { later(); return; } // the connection: try again
      submit.disabled = true;
      refuse(error);
    }
  }

  let previewed = null;
  async function drawPreview({ dataset, clean }) {
    const wanted = JSON.stringify([dataset, clean]);
    if (previewed === wanted) return;
    previewed = wanted;
    try {
      put(preview, await previewNode(dataset, clean, signal));
    } catch {
      put(preview);
    }
  }

  function drawCode() {
    const written = spec();
    code.textContent = FORMS[form][1](written, [...values]);
    putIfChanged(codes, form, () => FORMS.map(([name], index) => button(name, () => { form = index; drawCode(); }, { "aria-pressed": String(index === form), data: { key: name } })));
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MILLISECONDS);
  }

  async function start() {
    submit.disabled = true;
    try {
      const job = await post("/v1/jobs", spec());
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      refuse(error);
      fields.find(({ fault }) => !fault.hidden)?.control.focus();
      submit.disabled = false;
    }
  }

  put(page, el("div", { class: "page-head" }, el("div", {}, el("h1", {}, "New job"),
    earlier && el("p", {}, "Starts from the spec of ", el("a", { href: `#/jobs/${from}` }, earlier.name), "."))),
  el("div", { class: "new" }, el("div", { class: "stack" }, card("Start from", presetList), sections),
    el("div", { class: "stack aside" }, card("What it will need", needs, summary, el("div", { class: "bar end" }, submit)),
      card({ heading: "The same, elsewhere", actions: [codes, copyButton(() => code.textContent)] }, code))));

  if (earlier) startFrom(earlier);
  else choosePreset(presets.data[0]?.name);
  drawPresets();
  drawForm();
  look();

  // Only what differs from its preset, or from the defaults of its architecture, is taken over.
  function startFrom(job) {
    const preset = presets.data.find(({ name }) => name === job.spec.preset);
    if (preset) values.set("preset", preset.name);
    const isOther = preset && preset.spec.model.architecture !== job.spec.model.architecture;
    setDefaults(preset?.spec ?? {});
    const base = preset ? { ...defaults } : leaves(schemaDefaults(job.spec.model.architecture));
    for (const [path, value] of Object.entries(leaves(job.spec))) {
      if (path === "preset" || (path === "name" && value === `${job.spec.preset ?? job.spec.model.architecture} on ${job.spec.data.dataset}`)) continue;
      const before = isOther && path.startsWith("model.") ? undefined : base[path];
      if (JSON.stringify(before ?? null) !== JSON.stringify(value)) values.set(path, value);
    }
    if (isOther || !preset) values.set("model.architecture", job.spec.model.architecture);
  }

  function schemaDefaults(name) {
    const result = {};
    for (const [section, part] of Object.entries(schema.properties)) {
      const inner = section === "model" ? resolve({ $ref: models[name] }, root) : fieldOf(part, root);
      if (!inner.properties) { result[section] = inner.default ?? null; continue; }
      result[section] = {};
      for (const [field, one] of Object.entries(inner.properties)) {
        const known = fieldOf(one, root);
        result[section][field] = known.properties ? Object.fromEntries(Object.entries(known.properties).map(([key, value]) => [key, value.default ?? null])) : known.default ?? null;
      }
    }
    return result;
  }
}

function needsNode(answer) {
  return [numbers([
    ["Parameters", count(answer.parameter_count), exact(answer.parameter_count)], ["Words", count(answer.words), exact(answer.words)],
    ["Tokens", answer.tokens === null ? "–" : `≈ ${count(answer.tokens)}`], ["Steps", answer.steps === null ? "–" : `≈ ${count(answer.steps)}`],
    ["Words seen", count(answer.words_seen)], ["Tokens a step", count(answer.tokens_per_step)],
    ["Memory", `≈ ${bytes(answer.device_memory_bytes)}`], ["Disk", `≈ ${bytes(answer.disk_bytes)}`],
    ...Object.entries(answer.seconds).map(([kind, value]) => [{ cpu: "Time on two cores", cuda: "Time on a GPU" }[kind] ?? `Time, ${kind}`, value === null ? "–" : value < 1 ? "under 1 s" : `≈ ${seconds(value)}`]),
  ]), el("div", { class: "warnings" }, answer.warnings.map((warning) => el("p", { class: "notice" }, warning)))];
}
