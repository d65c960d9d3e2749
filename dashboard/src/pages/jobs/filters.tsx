// The filters above the list of jobs.

import { useEffect, useRef } from "preact/hooks";
import { type Job, STATUSES } from "../../api/types.ts";
import { count } from "../../lib/format.ts";
import { rememberPage } from "../../router.ts";
import { CheckMenu, Choices, Menu } from "../../ui/controls.tsx";
import type { Column } from "./columns.tsx";
import type { Query } from "./query.ts";
import type { JobList } from "./store.ts";

const TYPING_MILLISECONDS = 250;

type Change = (values: Partial<Record<keyof Query, string>>) => void;

interface Props {
  list: JobList;
  query: Query;
  change: Change;
  columns: Column[];
  // The keys of the columns that the list shows until the user chooses others.
  defaults: string[];
  fault: string;
  saveCsv: () => void;
}

export function Filters({ list, query, change, columns, defaults, fault, saveCsv }: Props) {
  return (
    <>
      <div class="filters">
        <StatusFilter list={list} query={query} change={change} />
        <div class="bar">
          <Search
            label="Search jobs"
            hint="Search by name or id"
            value={query.search}
            onChange={(search) => change({ search })}
          />
          <label class="inline" title="One row for the jobs that differ only in their seed">
            <input
              type="checkbox"
              checked={Boolean(query.group)}
              onChange={(event) =>
                change({ group: event.currentTarget.checked ? "seeds" : "", open: "" })
              }
            />
            Group seeds
          </label>
          <FilterMenu list={list} query={query} change={change} fault={fault} />
          <ColumnMenu {...{ query, change, columns, defaults }} />
          <button type="button" title="The rows and columns of this table" onClick={saveCsv}>
            CSV
          </button>
        </div>
      </div>
      <ActiveFilters query={query} change={change} />
    </>
  );
}

function StatusFilter({ list, query, change }: Pick<Props, "list" | "query" | "change">) {
  const counts = list.counts.value;
  const total = Object.values(counts).reduce((sum, number) => sum + number, 0);
  const shown = STATUSES.filter((name) => counts[name] || name === query.status);
  return (
    <Choices
      label="Status"
      value={query.status}
      onChange={(status) => change({ status })}
      options={[
        { value: "", label: "All", note: count(total) },
        ...shown.map((name) => ({ value: name, label: name, note: count(counts[name] ?? 0) })),
      ]}
    />
  );
}

interface SearchProps {
  label: string;
  hint: string;
  value: string;
  onChange: (value: string) => void;
}

// A search field that calls `onChange` after a short pause in typing, or when its menu closes.
function Search({ label, hint, value, onChange }: SearchProps) {
  const field = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const apply = useRef<() => void>();
  useEffect(() => {
    const { current } = field;
    if (current && document.activeElement !== current) current.value = value;
  }, [value]);
  const applyNow = () => {
    clearTimeout(timer.current);
    apply.current?.();
    apply.current = undefined;
  };
  useEffect(() => applyNow, []);
  const onInput = (event: Event) => {
    // The field is gone when its menu closes, so its text is read now.
    const text = (event.currentTarget as HTMLInputElement).value.trim();
    const isSamePage = rememberPage();
    apply.current = () => isSamePage() && onChange(text);
    clearTimeout(timer.current);
    timer.current = setTimeout(applyNow, TYPING_MILLISECONDS);
  };
  return (
    <input
      ref={field}
      type="search"
      aria-label={label}
      placeholder={hint}
      defaultValue={value}
      onInput={onInput}
    />
  );
}

function FilterMenu({
  list,
  query,
  change,
  fault,
}: Omit<Props, "columns" | "defaults" | "saveCsv">) {
  const jobs = list.jobs.value ?? [];
  const distinct = (value: (job: Job) => string | undefined, chosen: string) =>
    [...new Set([...jobs.map(value), chosen])].filter(Boolean).sort() as string[];
  const architectures = distinct((job) => job.spec.model?.architecture, query.architecture);
  const datasets = distinct((job) => job.spec.data?.dataset, query.dataset);
  return (
    <Menu label="Filter" stays>
      <div class="menu-form">
        <Select
          label="Architecture"
          value={query.architecture}
          names={architectures}
          onChange={(architecture) => change({ architecture })}
        />
        <Select
          label="Dataset"
          value={query.dataset}
          names={datasets}
          onChange={(dataset) => change({ dataset })}
        />
        <Select
          label="Tag"
          value={query.tag}
          names={[...new Set([...jobs.flatMap(({ tags }) => tags), query.tag])].filter(Boolean)}
          onChange={(tag) => change({ tag })}
        />
        <label class="inline">
          <input
            type="checkbox"
            checked={Boolean(query.archived)}
            onChange={(event) => change({ archived: event.currentTarget.checked ? "yes" : "" })}
          />
          Archived jobs
        </label>
        <div class="field">
          <span class="label">Values</span>
          <Search
            label="Filter by values"
            hint="validation/loss < 4 and seed = 1"
            value={query.where}
            onChange={(where) => change({ where })}
          />
          {fault && (
            <span class="fault" role="alert">
              {fault}
            </span>
          )}
          <span class="hint">
            A metric or an option of the spec, one of {"< <= = != >= >"}, and a value.
          </span>
        </div>
      </div>
    </Menu>
  );
}

interface SelectProps {
  label: string;
  value: string;
  names: string[];
  onChange: (value: string) => void;
}

function Select({ label, value, names, onChange }: SelectProps) {
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">any</option>
        {names.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

type ColumnProps = Pick<Props, "query" | "change" | "columns" | "defaults">;

function ColumnMenu({ query, change, columns, defaults }: ColumnProps) {
  const choose = (keys: string[]) =>
    change({ columns: keys.join() === defaults.join() ? "" : keys.join(",") || "name" });
  const chosen = query.columns ?? defaults;
  return <CheckMenu label="Columns" items={columns} chosen={chosen} choose={choose} />;
}

const FILTER_TEXTS: Record<string, (query: Query) => string> = {
  where: ({ where }) => where,
  archived: () => "archived jobs",
};

function ActiveFilters({ query, change }: Pick<Props, "query" | "change">) {
  const names = ["architecture", "dataset", "tag", "archived", "where"] as const;
  const active = names.filter((name) => query[name]);
  if (!active.length) return null;
  return (
    <div class="bar active-filters">
      {active.map((name) => (
        <button
          key={name}
          type="button"
          class="tag"
          aria-label={`Remove the filter ${query[name]}`}
          onClick={() => change({ [name]: "" })}
        >
          {FILTER_TEXTS[name]?.(query) ?? `${name}: ${query[name]}`}
          <span aria-hidden="true"> ×</span>
        </button>
      ))}
    </div>
  );
}
