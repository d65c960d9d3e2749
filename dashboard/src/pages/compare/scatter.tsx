// A scatter plot of any two values of the runs.

import type { Signal } from "@preact/signals";
import { useState } from "preact/hooks";
import type { Job } from "../../api/types.ts";
import { colourClass } from "../../charts/plot.ts";
import { type Scale, scaleOf } from "../../lib/scale.ts";
import { setParameters } from "../../router.ts";
import { Card } from "../../ui/card.tsx";
import { useWidth } from "../../ui/width.ts";
import type { Choice } from "./choice.ts";
import type { Entry } from "./entries.ts";
import { type Field, fieldText } from "./fields.ts";

const HEIGHT = 320;
const MARGIN = { top: 14, right: 18, bottom: 46 };
const CHARACTER = 6.6; // width of a character of a tick
const RADIUS = 5.5;

export interface FieldsProps {
  choice: Choice;
  // The entries that are not hidden.
  entries: Entry[];
  fields: Field[];
  focus: Signal<string | null>;
}

export function Scatter({ choice, entries, fields, focus }: FieldsProps) {
  const [x, y] = chosenFields(choice, fields);
  const log = choice.log ?? undefined;
  const jobs = entries.flatMap((entry) => entry.jobs);
  const scale = (field: Field, name: string) =>
    scaleOf(jobs.map(field.value), {
      text: field.text,
      isLog: log === undefined ? undefined : log.includes(name),
    });
  const [across, up] = [scale(x, "x"), scale(y, "y")];
  const setLog = (name: string, isLog: boolean) => {
    const now = { x: across.isLog, y: up.isLog, [name]: isLog };
    setParameters({ log: `${now.x ? "x" : ""}${now.y ? "y" : ""}` || "none" });
  };
  const axis = (name: "x" | "y", field: Field, { isLog, mayLog }: Scale) => (
    <Axis
      label={name === "x" ? "Across" : "Up"}
      {...{ fields, field, isLog, mayLog }}
      onField={(key) => setParameters({ [name]: key, log: "" })}
      onLog={(isWanted) => setLog(name, isWanted)}
    />
  );
  return (
    <Card title={`${y.title} over ${lowered(x.title)}`}>
      <div class="tools">
        {axis("y", y, up)}
        {axis("x", x, across)}
      </div>
      <Plot {...{ entries, x, y, across, up, focus }} />
    </Card>
  );
}

function lowered(title: string) {
  return /^[A-Z][a-z]/.test(title) ? title[0].toLowerCase() + title.slice(1) : title;
}

function chosenFields({ x, y }: Choice, fields: Field[]): [Field, Field] {
  const named = (key: string | null) => fields.find((field) => field.key === key);
  const result = fields.find(({ better }) => better) ?? fields.at(-1)!;
  return [named(x) ?? fields.find((field) => field !== result) ?? result, named(y) ?? result];
}

interface AxisProps {
  label: string;
  fields: Field[];
  field: Field;
  isLog: boolean;
  mayLog: boolean;
  onField: (key: string) => void;
  onLog: (isLog: boolean) => void;
}

function Axis({ label, fields, field, isLog, mayLog, onField, onLog }: AxisProps) {
  return (
    <span class="bar axis-choice">
      <label class="inline">
        {label}
        <select value={field.key} onChange={(event) => onField(event.currentTarget.value)}>
          {fields.map(({ key, title }) => (
            <option key={key} value={key}>
              {title}
            </option>
          ))}
        </select>
      </label>
      <label class="inline">
        <input
          type="checkbox"
          aria-label={`Log scale ${label.toLowerCase()}`}
          checked={isLog}
          disabled={!mayLog}
          onChange={(event) => onLog(event.currentTarget.checked)}
        />
        Log
      </label>
    </span>
  );
}

interface PlotProps {
  entries: Entry[];
  x: Field;
  y: Field;
  across: Scale;
  up: Scale;
  focus: Signal<string | null>;
}

interface Dot {
  entry: Entry;
  job: Job;
  left: number;
  top: number;
}

function Plot({ entries, x, y, across, up, focus }: PlotProps) {
  const [host, width] = useWidth<HTMLDivElement>(600);
  const [active, setActive] = useState<Job | null>(null);
  const begin = 18 + CHARACTER * Math.max(...up.ticks.map(({ text }) => text.length), 3);
  const left = (share: number) => begin + share * (width - begin - MARGIN.right);
  const top = (share: number) =>
    HEIGHT - MARGIN.bottom - share * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const dots = entries.flatMap((entry) =>
    entry.jobs.flatMap((job): Dot[] => {
      const [one, other] = [across.place(x.value(job)), up.place(y.value(job))];
      if (one === null || other === null) return [];
      return [{ entry, job, left: left(one), top: top(other) }];
    }),
  );
  const point = (dot: Dot | null) => {
    setActive(dot?.job ?? null);
    focus.value = dot?.entry.id ?? null;
  };
  const shown = dots.find(({ job }) => job === active);
  const label = `${dots.length} runs: ${y.title} over ${x.title}`;
  return (
    <div class="plot" ref={host}>
      {/* biome-ignore lint/a11y/useSemanticElements: a drawing of links */}
      <svg width={width} height={HEIGHT} role="group" aria-label={label}>
        <Grid {...{ across, up, left, top, width, begin }} title={x.title} />
        {dots.map((dot) => (
          <DotLink key={dot.job.id} dot={dot} fields={[x, y]} focused={focus.value} point={point} />
        ))}
      </svg>
      {!dots.length && <p class="soft nothing">No run has both values.</p>}
      {shown && <Tip dot={shown} width={width} fields={[x, y]} />}
    </div>
  );
}

interface GridProps {
  across: Scale;
  up: Scale;
  left: (share: number) => number;
  top: (share: number) => number;
  width: number;
  begin: number;
  title: string;
}

function Grid({ across, up, left, top, width, begin, title }: GridProps) {
  return (
    // biome-ignore lint/a11y/noAriaHiddenOnFocusable: nothing in it takes the focus
    <g class="axes" aria-hidden="true">
      {up.ticks.map(({ at, text }) => (
        <g key={text}>
          <line x1={begin} x2={width - MARGIN.right} y1={top(at)} y2={top(at)} />
          <text x={begin - 8} y={top(at) + 4} text-anchor="end">
            {text}
          </text>
        </g>
      ))}
      {across.ticks.map(({ at, text }) => (
        <g key={text}>
          <line x1={left(at)} x2={left(at)} y1={top(0)} y2={top(1)} />
          <text x={left(at)} y={top(0) + 18} text-anchor="middle">
            {text}
          </text>
        </g>
      ))}
      <text
        class="title"
        x={(begin + width - MARGIN.right) / 2}
        y={HEIGHT - 6}
        text-anchor="middle"
      >
        {title}
      </text>
    </g>
  );
}

interface DotProps {
  dot: Dot;
  fields: Field[];
  focused: string | null;
  point: (dot: Dot | null) => void;
}

function DotLink({ dot, fields, focused, point }: DotProps) {
  const { entry, job, left, top } = dot;
  const isFaded = focused !== null && focused !== entry.id;
  const texts = fields.map((field) => `${field.title} ${fieldText(field, job)}`);
  return (
    <a
      href={`#/jobs/${job.id}`}
      class={`${colourClass(entry.colour)}${isFaded ? " faded" : ""}`}
      aria-label={`${job.name}: ${texts.join(", ")}`}
      onMouseEnter={() => point(dot)}
      onMouseLeave={() => point(null)}
      onFocus={() => point(dot)}
      onBlur={() => point(null)}
    >
      <circle cx={left} cy={top} r={RADIUS} />
    </a>
  );
}

function Tip({ dot, width, fields }: { dot: Dot; width: number; fields: Field[] }) {
  const isRight = dot.left > width / 2;
  const style = {
    left: `${dot.left + (isRight ? -14 : 14)}px`,
    top: `${Math.max(0, dot.top - 30)}px`,
    transform: isRight ? "translateX(-100%)" : undefined,
  };
  return (
    <div class="tooltip" style={style} aria-hidden="true">
      <b>{dot.job.name}</b>
      {fields.map((field) => (
        <div key={field.key} class="pair">
          <span>{field.title}</span>
          <b>{fieldText(field, dot.job)}</b>
        </div>
      ))}
    </div>
  );
}
