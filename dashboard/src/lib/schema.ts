// Form fields from the JSON schema of the API. A new option appears in the form without a change of
// this file.

import type { Spec } from "../api/types.ts";

// biome-ignore lint/suspicious/noExplicitAny: a JSON schema
export type Schema = Record<string, any>;

export interface FieldSchema extends Schema {
  mayBeNull: boolean;
  others: Schema[];
}

export function resolve(schema: Schema, root: Schema): Schema {
  if (!schema.$ref) return schema;
  const parts: string[] = schema.$ref.split("/").slice(1);
  return parts.reduce((node: Schema, key) => node[key], root);
}

// The parts of a field's schema that the form needs. The schema may be a union (`anyOf`).
export function fieldOf(schema: Schema, root: Schema): FieldSchema {
  const whole = resolve(schema, root);
  const choices: Schema[] = (whole.anyOf ?? [whole]).map((one: Schema) => resolve(one, root));
  const main = choices.find(({ type }) => type !== "null") ?? whole;
  return {
    ...main,
    description: schema.description ?? whole.description ?? main.description,
    default: schema.default ?? whole.default ?? main.default,
    mayBeNull: choices.some(({ type }) => type === "null"),
    others: choices.filter((choice) => choice !== main && choice.type !== "null"),
  };
}

const TITLES: Record<string, string> = {
  num_hidden_layers: "Layers",
  num_attention_heads: "Attention heads",
  num_key_value_heads: "Key-value heads",
  hidden_size: "Hidden size",
  intermediate_size: "MLP size",
  num_local_experts: "Experts per layer",
  vocab_size: "Vocabulary size",
  from_job: "Tokenizer of job",
  max_steps: "Maximum steps",
  seq_length: "Sequence length",
  batch_size: "Batch size (sequences)",
  learning_rate: "Peak learning rate",
  min_learning_rate_ratio: "Final learning rate (share of the peak)",
  decay_ratio: "Decay phase (share of the steps)",
  ema_decay: "Decay of the weight average",
  adam_beta1: "Adam beta 1",
  adam_beta2: "Adam beta 2",
  max_grad_norm: "Gradient clipping",
  gpus: "GPUs",
  num_devices: "GPUs of the run",
  micro_batch_size: "Micro-batch size (sequences)",
  num_threads: "CPU threads",
  z_loss_coefficient: "Z-loss coefficient",
  router_aux_loss_coefficient: "Router balance loss coefficient",
  empty_cache_steps: "Steps between cache resets",
  logging_steps: "Steps between measurements",
  eval_steps: "Steps between validations",
  eval_tokens: "Validation tokens",
  early_stopping_patience: "Early stopping (validations without gain)",
  save_steps: "Steps between checkpoints",
  save_total_limit: "Checkpoints to keep",
  sample_max_new_tokens: "Length of samples (tokens)",
  rms_norm_eps: "RMS norm epsilon",
  rope_theta: "RoPE base",
  initializer_range: "Standard deviation of initial weights",
  tie_word_embeddings: "Share input and output embeddings",
  num_experts_per_tok: "Experts per token",
  attn_logit_softcapping: "Soft cap of attention scores",
  final_logit_softcapping: "Soft cap of logits",
  use_qk_norm: "Normalize queries and keys",
};

export function titleOf(name: string): string {
  const text = name.replaceAll("_", " ");
  return TITLES[name] ?? text[0].toUpperCase() + text.slice(1);
}

export function shownValue(value: unknown): string {
  if (value === null) return "none";
  if (value === undefined) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export function isNumeric(schema: FieldSchema) {
  const isNumber = ({ type }: Schema) => type === "integer" || type === "number";
  return isNumber(schema) || schema.others.some(isNumber);
}

// The value of a text field; undefined means the default. Text that is not a number is sent
// unchanged, because the API returns the error message.
export function readText(text: string, schema: FieldSchema): unknown {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  if (schema.mayBeNull && /^(none|null)$/i.test(trimmed)) return null;
  if (schema.type === "array") {
    return text
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
  }
  if (isNumeric(schema)) {
    const number = Number(text.replaceAll(/[ ,_](?=\d{3}\b)/g, ""));
    return Number.isFinite(number) ? number : text;
  }
  return text;
}

// Turns { "model.hidden_size": 8 } into { model: { hidden_size: 8 } }.
export function nested(values: Map<string, unknown>): Spec {
  const result: Spec = {};
  for (const [path, value] of values) {
    const parts = path.split(".");
    const last = parts.pop()!;
    let node = result;
    for (const part of parts) {
      node[part] ??= {};
      node = node[part];
    }
    node[last] = value;
  }
  return result;
}

export interface FieldEntry {
  path: string;
  schema: FieldSchema;
}

// The fields of an object and of the objects in it.
export function fieldsOf(path: string, schema: Schema, root: Schema, skip: string[] = []) {
  const found: FieldEntry[] = [];
  for (const [name, part] of Object.entries<Schema>(schema.properties ?? {})) {
    if (skip.includes(name) || part.const !== undefined) continue;
    const inner = path ? `${path}.${name}` : name;
    const field = fieldOf(part, root);
    if (field.properties) found.push(...fieldsOf(inner, field, root));
    else found.push({ path: inner, schema: field });
  }
  return found;
}

// The default of each field of an object, by name.
export function defaultsOf(schema: Schema, root: Schema): Spec {
  const result: Spec = {};
  for (const [name, part] of Object.entries<Schema>(schema.properties ?? {})) {
    const field = fieldOf(part, root);
    result[name] = field.properties ? defaultsOf(field, root) : (field.default ?? null);
  }
  return result;
}
