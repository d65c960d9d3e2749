// A chart of one quantity, of one run or several: legend, drawing, tooltip, tools.

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { exact, seconds } from "../lib/format.ts";
import type { Axis } from "../lib/series.ts";
import { announce } from "../lib/state.ts";
import { Menu } from "../ui/controls.tsx";
import { schemeVersion } from "../ui/theme.tsx";
import type { Kind } from "./catalogue.ts";
import { PlotController } from "./controller.ts";
import { saveCsv, savePng, saveSvg } from "./export.ts";
import { colourClass, type Line, lineColour, type Mark } from "./plot.ts";
import { chartView, type Zoom } from "./view.ts";

// The state of a legend that several charts share: the ids of hidden lines and of the focused one.
export interface SharedLegend {
  hidden: Set<string>;
  focused: string | null;
}

// Maximum number of lines in the tooltip.
const MOST_VALUES = 12;

interface Props {
  kind: Kind;
  lines: Line[];
  marks: Mark[];
  legend?: SharedLegend;
  // A number that changes with the data.
  version: number;
  isLoading: boolean;
  zoom: Zoom;
  onZoom: (zoom: Zoom) => void;
}

export function Chart({ kind, lines, marks, legend, version, isLoading, zoom, onZoom }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const [plot, setPlot] = useState<PlotController | null>(null);
  const [ownHidden, setHidden] = useState<Set<string>>(new Set());
  const hidden = legend?.hidden ?? ownHidden;
  const focused = legend?.focused ?? null;
  const [isFull, setFull] = useState(false);
  const view = chartView.value;
  const axis = kind.axis ?? view.axis;
  const isEmpty = lines.every((line) => !line.series.has(line.name));
  const drawnIds = lines.map(({ id, band }) => `${id} ${Boolean(band)}`).join();
  useEffect(() => {
    const made = new PlotController(holder.current!);
    setPlot(made);
    return () => made.close();
  }, []);
  // A layout effect, because `useEffect` runs only after the next frame. If a key sets a new range
  // before that frame, `useEffect` would bring back the range of the older render.
  useLayoutEffect(() => {
    if (!plot) return;
    plot.onZoom = kind.axis ? null : onZoom;
    const drawn = kind.axis ? null : zoom;
    if (isEmpty) plot.clear();
    else plot.draw({ kind, lines, view, axis, zoom: drawn, marks, hidden, focused });
  }, [plot, version, view, zoom, hidden, marks.length, drawnIds, schemeVersion.value]);
  useEffect(() => plot?.focus(focused), [plot, focused]);
  const isShown = plot && !isEmpty;
  return (
    <section
      class={`card chart-card${kind.isWide ? " wide" : ""}${isFull ? " full" : ""}`}
      aria-label={kind.title}
    >
      <div class="card-head">
        <h2 title={kind.note}>{kind.title}</h2>
        {isShown && <Tools {...{ kind, lines, plot, axis, isFull, setFull }} />}
      </div>
      {isShown && !legend && <Legend {...{ kind, lines, plot, hidden, setHidden }} />}
      <Holder
        host={holder}
        {...{ kind, lines, plot, hidden, isEmpty, isLoading, isFull, setFull }}
      />
    </section>
  );
}

interface HolderProps {
  host: { current: HTMLDivElement | null };
  kind: Kind;
  lines: Line[];
  plot: PlotController | null;
  hidden: Set<string>;
  isEmpty: boolean;
  isLoading: boolean;
  isFull: boolean;
  setFull: (isFull: boolean) => void;
}

function Holder(props: HolderProps) {
  const { host, kind, lines, plot, hidden, isEmpty, isLoading, isFull, setFull } = props;
  const summary = useMemo(() => () => summaryOf(kind, lines, plot), [kind, lines, plot]);
  const onKeyDown = (press: KeyboardEvent) => {
    if (press.key === "Escape" && isFull) setFull(false);
    else if (plot?.key(press)) {
      const place = plot.place();
      announce(`Step ${exact(place?.at?.step)}: ${summary()}`);
    }
  };
  const isDrawn = plot && !isEmpty;
  const facts = isDrawn
    ? { role: "application", tabIndex: 0, "aria-label": summary() }
    : { role: undefined, tabIndex: undefined, "aria-label": undefined };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: its role is application once it is drawn
    // biome-ignore lint/a11y/useAriaPropsSupportedByRole: as above
    <div
      ref={host}
      class={`chart${isEmpty ? " none" : ""}`}
      aria-roledescription={isDrawn ? "chart" : undefined}
      onKeyDown={onKeyDown}
      onBlur={() => plot?.leave()}
      {...(facts as object)}
    >
      {isEmpty && <span>{isLoading ? "Loading…" : "Nothing measured yet"}</span>}
      {isDrawn && <Tooltip {...{ kind, lines, plot, hidden }} />}
    </div>
  );
}

function summaryOf(kind: Kind, lines: Line[], plot: PlotController | null) {
  const texts = (plot?.values() ?? []).map((value, index) => {
    return `${lines[index]?.label} ${value === null ? "not measured" : kind.format(value)}`;
  });
  return `${kind.title}: ${texts.join(", ")}`;
}

interface PartProps {
  kind: Kind;
  lines: Line[];
  plot: PlotController;
}

interface LegendProps extends PartProps {
  hidden: Set<string>;
  setHidden: (hidden: Set<string>) => void;
}

// The legend, with the value of each line under the cursor or its last value. A press on a name
// hides or shows the line; a double press shows only this line.
function Legend({ kind, lines, plot, hidden, setHidden }: LegendProps) {
  plot.version.value;
  const values = plot.values();
  const toggle = (id: string) => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    setHidden(next);
  };
  const isolate = (id: string) => {
    const others = lines.map((line) => line.id).filter((one) => one !== id);
    const isAlone = others.length > 0 && others.every((one) => hidden.has(one));
    setHidden(new Set(isAlone ? [] : others));
  };
  return (
    <ul class="legend">
      {lines.map((line, index) => (
        <li key={line.id} class={colourClass(line.colour)}>
          <button
            type="button"
            aria-pressed={!hidden.has(line.id)}
            title="Click to hide or show this line; double-click to show only this line"
            onClick={() => toggle(line.id)}
            onDblClick={() => isolate(line.id)}
          >
            {line.label}
            <b>{text(kind, values[index])}</b>
          </button>
        </li>
      ))}
    </ul>
  );
}

function text(kind: Kind, value: number | null | undefined) {
  return value === null || value === undefined ? "–" : kind.format(value);
}

function Tooltip({ kind, lines, plot, hidden }: PartProps & { hidden: Set<string> }) {
  if (!plot.isHovered.value) return null;
  const place = plot.place();
  if (!place?.at) return null;
  const values = plot.values();
  const isRight = place.left > place.width / 2;
  const left = isRight ? place.left - 12 : place.left + 12;
  const shown = lines
    .map((line, index) => ({ line, value: values[index] }))
    .filter(({ line }) => !hidden.has(line.id));
  const style = { left: `${left}px`, transform: isRight ? "translateX(-100%)" : undefined };
  return (
    <div class="tooltip" style={style} aria-hidden="true">
      <Pair name="Step" value={exact(place.at.step)} />
      <Pair name="Words" value={exact(place.at.words)} />
      <Pair name="Time" value={seconds(place.at.seconds)} />
      {shown.slice(0, MOST_VALUES).map(({ line, value }) => (
        <Pair
          key={line.id}
          name={line.label}
          value={text(kind, value)}
          colour={lineColour(line.colour)}
        />
      ))}
      {shown.length > MOST_VALUES && <div>and {shown.length - MOST_VALUES} more</div>}
      {place.marks.map((mark) => (
        <div key={mark.label} class={`mark ${mark.kind}`}>
          {mark.label}
        </div>
      ))}
    </div>
  );
}

function Pair({ name, value, colour: tone }: { name: string; value: string; colour?: string }) {
  return (
    <div class="pair">
      <span style={tone ? { color: tone } : undefined}>{name}</span>
      <b>{value}</b>
    </div>
  );
}

interface ToolsProps extends PartProps {
  axis: Axis;
  isFull: boolean;
  setFull: (isFull: boolean) => void;
}

function Tools({ kind, lines, plot, axis, isFull, setFull }: ToolsProps) {
  const { title } = kind;
  const png = () => {
    const canvas = plot.canvas();
    if (canvas) savePng(canvas, title);
  };
  const item = (label: string, act: () => void): ComponentChildren => (
    <button type="button" onClick={act}>
      {label}
    </button>
  );
  return (
    <div class="chart-tools">
      <button
        type="button"
        class="quiet icon"
        aria-label={isFull ? `Close the full screen of ${title}` : `${title} in full screen`}
        title={isFull ? "Close" : "Full screen"}
        onClick={() => setFull(!isFull)}
      >
        {isFull ? "✕" : "⤢"}
      </button>
      <Menu label="⋯" name={`Save ${title}`} class="quiet icon">
        {item("Save as PNG", png)}
        {item("Save as SVG", () => saveSvg(lines, title, axis, (value) => kind.format(value)))}
        {item("Save as CSV", () => saveCsv(lines, title))}
      </Menu>
    </div>
  );
}
