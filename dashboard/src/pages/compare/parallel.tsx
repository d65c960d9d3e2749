// Parallel coordinates: an axis for each chosen field, and a line for each run.

import type { Signal } from "@preact/signals";
import type { Job } from "../../api/types.ts";
import { colourClass } from "../../charts/plot.ts";
import { type Scale, scaleOf } from "../../lib/scale.ts";
import { setParameters } from "../../router.ts";
import { Card } from "../../ui/card.tsx";
import { CheckMenu } from "../../ui/controls.tsx";
import { useWidth } from "../../ui/width.ts";
import type { Choice } from "./choice.ts";
import type { Entry } from "./entries.ts";
import { type Field, fieldText } from "./fields.ts";
import type { FieldsProps } from "./scatter.tsx";

const HEIGHT = 300;
const TOP = 44;
const BOTTOM = 16;
const SIDE = 76;
const LEAST_DISTANCE = 128; // between two axes
const FIRST_OPTIONS = 3;
const CHARACTER = 7.2; // width of a character of a title

export function Parallel({ choice, entries, fields, focus }: FieldsProps) {
  const axes = chosenAxes(choice, fields);
  return (
    <Card
      title="Parallel coordinates"
      note="Each line is a run; each axis is an option or a result"
      actions={
        <CheckMenu
          label="Axes"
          items={fields}
          chosen={axes.map(({ key }) => key)}
          choose={(keys) => setParameters({ axes: keys.join(",") || "none" })}
        />
      }
    >
      {axes.length > 1 ? (
        <Plot axes={axes} entries={entries} focus={focus} />
      ) : (
        <p class="soft">Choose two or more axes.</p>
      )}
    </Card>
  );
}

// The chosen fields in the order of the choice. Default: the first options in which the runs differ,
// the loss and the scores of evaluations.
function chosenAxes({ axes }: Choice, fields: Field[]): Field[] {
  if (axes) {
    return axes
      .map((key) => fields.find((field) => field.key === key))
      .filter((field) => field !== undefined);
  }
  const results = fields.filter(({ better }) => better);
  const [first, ...others] = results;
  const scores = others.filter(({ better }) => better === "higher");
  const options = fields.filter(({ isOption }) => isOption).slice(0, FIRST_OPTIONS);
  return [...options, first, ...(scores.length ? scores : others.slice(-1))].filter(Boolean);
}

interface PlotProps {
  axes: Field[];
  entries: Entry[];
  focus: Signal<string | null>;
}

interface DrawnAxis {
  field: Field;
  scale: Scale;
  left: number;
  // The width that its title may have.
  room: number;
}

function Plot({ axes, entries, focus }: PlotProps) {
  const [host, available] = useWidth<HTMLElement>(600);
  const width = Math.max(available, SIDE * 2 + LEAST_DISTANCE * (axes.length - 1));
  const jobs = entries.flatMap((entry) => entry.jobs);
  const distance = (width - SIDE * 2) / (axes.length - 1);
  const drawn = axes.map((field, index) => ({
    field,
    scale: scaleOf(jobs.map(field.value), { text: field.text }),
    left: SIDE + index * distance,
    room: index === 0 || index === axes.length - 1 ? SIDE * 2 : distance,
  }));
  const label = `${jobs.length} runs by ${axes.map(({ title }) => title).join(", ")}`;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must take the focus
    <section class="plot sideways" ref={host} tabIndex={0} aria-label="Parallel coordinates: axes">
      <svg width={width} height={HEIGHT} role="img" aria-label={label}>
        {entries.flatMap((entry) =>
          entry.jobs.map((job) => <RunLine key={job.id} {...{ entry, job, focus }} axes={drawn} />),
        )}
        {drawn.map((axis) => (
          <AxisMarks key={axis.field.key} {...axis} />
        ))}
      </svg>
    </section>
  );
}

const heightOf = (share: number) => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);

interface LineProps {
  entry: Entry;
  job: Job;
  axes: DrawnAxis[];
  focus: Signal<string | null>;
}

// A line through the values of a run, with a gap at a value that the run does not have.
function RunLine({ entry, job, axes, focus }: LineProps) {
  const { id, colour } = entry;
  const points = axes.map(({ field, scale, left }) => {
    const share = scale.place(field.value(job));
    return share === null ? null : `${left.toFixed(1)} ${heightOf(share).toFixed(1)}`;
  });
  const path = points
    .map((point, index) => point && `${points[index - 1] ? "L" : "M"}${point}`)
    .filter(Boolean)
    .join("");
  const isFaded = focus.value !== null && focus.value !== id;
  const texts = axes.map(({ field }) => `${field.title}: ${fieldText(field, job)}`);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: by keyboard, the legend does the same
    <path
      d={path}
      class={`${colourClass(colour)}${isFaded ? " faded" : ""}`}
      onMouseEnter={() => {
        focus.value = id;
      }}
      onMouseLeave={() => {
        focus.value = null;
      }}
    >
      <title>{[job.name, ...texts].join("\n")}</title>
    </path>
  );
}

function AxisMarks({ field: { title }, scale, left, room }: DrawnAxis) {
  const most = Math.floor(room / CHARACTER);
  const isLong = title.length > most;
  return (
    <g class="axes">
      <line class="axis" x1={left} x2={left} y1={heightOf(0)} y2={heightOf(1)} />
      <text class="title" x={left} y={18} text-anchor="middle">
        {isLong ? `${title.slice(0, most - 1)}…` : title}
        {isLong && <title>{title}</title>}
      </text>
      {scale.isLog && (
        <text x={left} y={33} text-anchor="middle">
          log
        </text>
      )}
      {scale.ticks.map(({ at, text }) => (
        <text key={text} class="value" x={left + 6} y={heightOf(at) + 4}>
          {text}
        </text>
      ))}
    </g>
  );
}
