// One field of the form. An empty field has the default value, which is shown as the placeholder.

import { useEffect, useRef } from "preact/hooks";
import { type FieldEntry, readText, shownValue, titleOf } from "../../lib/schema.ts";
import { Marked } from "../../ui/marks.tsx";
import type { NewJob } from "./store.ts";

interface Props {
  job: NewJob;
  entry: FieldEntry;
  // Names to choose from.
  suggestions?: string[];
}

interface ControlProps extends Props {
  id: string;
  describedBy: string;
  isInvalid: boolean;
}

export function Field({ job, entry, suggestions }: Props) {
  const { path, schema } = entry;
  const id = `field-${path.replaceAll(".", "-")}`;
  const fault = job.faults.value.get(path);
  const name = path.split(".").at(-1)!;
  const isChanged = job.values.value.has(path);
  const common = { job, entry, id, describedBy: `${id}-hint ${id}-fault`, isInvalid: !!fault };
  const isList = schema.type === "array";
  const choices = isList ? undefined : choicesOf(entry, suggestions);
  return (
    <div class={`field${isChanged ? " changed" : ""}`}>
      {isList && suggestions?.length ? (
        <CheckList {...common} suggestions={suggestions} />
      ) : (
        <label for={id}>
          <span class="label">{titleOf(name)}</span>
          {choices ? <Select {...common} choices={choices} /> : <Text {...common} />}
        </label>
      )}
      <span class="fault" id={`${id}-fault`} hidden={!fault}>
        {fault}
      </span>
      <span class="hint" id={`${id}-hint`}>
        <code>{path}</code> <Marked>{schema.description}</Marked>
      </span>
    </div>
  );
}

function choicesOf({ schema }: FieldEntry, suggestions?: string[]): unknown[] | undefined {
  const fixed = schema.enum ?? (schema.type === "boolean" ? [true, false] : suggestions);
  if (!fixed) return undefined;
  return schema.mayBeNull ? [...fixed, null] : fixed;
}

function defaultOf(job: NewJob, { path, schema }: FieldEntry): unknown {
  const known = job.derived.value[path] ?? job.defaults.value[path] ?? schema.default;
  return known ?? (schema.mayBeNull ? null : undefined);
}

function Select(props: ControlProps & { choices: unknown[] }) {
  const { job, entry, id, describedBy, isInvalid, choices } = props;
  const { path } = entry;
  const values = job.values.value;
  const chosen = values.has(path) ? JSON.stringify(values.get(path)) : "";
  const texts = choices.map((value) => JSON.stringify(value));
  // The chosen dataset stays in the list even if it was deleted.
  if (chosen && !texts.includes(chosen)) texts.push(chosen);
  const standard = shownValue(chosen ? job.defaults.value[path] : defaultOf(job, entry));
  return (
    <select
      id={id}
      value={chosen}
      aria-describedby={describedBy}
      aria-invalid={isInvalid || undefined}
      onChange={(event) => {
        const text = event.currentTarget.value;
        job.set(path, text === "" ? undefined : JSON.parse(text));
      }}
    >
      <option value="">{standard ? `${standard} (default)` : "default"}</option>
      {texts.map((text) => (
        <option key={text} value={text}>
          {shownValue(JSON.parse(text))}
        </option>
      ))}
    </select>
  );
}

function textOf(job: NewJob, { path, schema }: FieldEntry) {
  if (!job.values.value.has(path)) return "";
  const value = job.values.value.get(path);
  if (value === null) return "none";
  return schema.type === "array" && Array.isArray(value) ? value.join("\n") : String(value);
}

function Text({ job, entry, id, describedBy, isInvalid }: ControlProps) {
  const { path, schema } = entry;
  const control = useRef<HTMLInputElement & HTMLTextAreaElement>(null);
  const wanted = textOf(job, entry);
  useEffect(() => {
    // While the user types, the text is not replaced: "1." must not become "1".
    const { current } = control;
    if (current && document.activeElement !== current) current.value = wanted;
  }, [wanted]);
  const common = {
    id,
    ref: control,
    defaultValue: wanted,
    placeholder: shownValue(defaultOf(job, entry)),
    spellcheck: false,
    "aria-describedby": describedBy,
    "aria-invalid": isInvalid || undefined,
    onInput: () => job.set(path, readText(control.current!.value, schema)),
  };
  if (schema.type === "array") {
    return <textarea {...common} rows={2} placeholder={common.placeholder || "one per line"} />;
  }
  const isNumber = schema.type === "integer" || schema.type === "number";
  return (
    <input type="text" autocomplete="off" inputMode={isNumber ? "decimal" : "text"} {...common} />
  );
}

// A list of known names, each with a checkbox.
function CheckList({ job, entry, suggestions = [], id, describedBy }: ControlProps) {
  const { path } = entry;
  const chosen = job.values.value.get(path) ?? defaultOf(job, entry);
  const entries = Array.isArray(chosen) ? (chosen as string[]) : null;
  // In a field that can be null, such as `data.sources`, null means all names.
  const isAll = entries === null && entry.schema.mayBeNull;
  const names = [...new Set([...suggestions, ...(entries ?? [])])];
  const toggle = (name: string) => {
    const before = isAll ? names : (entries ?? []);
    const next = before.includes(name) ? before.filter((one) => one !== name) : [...before, name];
    const isDefault =
      entry.schema.mayBeNull && names.every((one) => next.includes(one))
        ? true
        : !next.length && !entry.schema.mayBeNull;
    job.set(path, isDefault ? undefined : next);
  };
  return (
    <fieldset id={id} aria-describedby={describedBy}>
      <legend class="label">{titleOf(path.split(".").at(-1)!)}</legend>
      <div class="bar checks">
        {names.map((name) => (
          <label key={name} class="inline">
            <input
              type="checkbox"
              checked={isAll || Boolean(entries?.includes(name))}
              onChange={() => toggle(name)}
            />
            {name}
          </label>
        ))}
      </div>
    </fieldset>
  );
}
