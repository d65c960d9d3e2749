// The charts of one run, or of several runs together, and the controls above the charts.

import { useSignal } from "@preact/signals";
import { useCallback, useEffect } from "preact/hooks";
import type { Series } from "../lib/series.ts";
import { route } from "../router.ts";
import { Choices } from "../ui/controls.tsx";
import { type Kind, kindsFor } from "./catalogue.ts";
import { Chart, type SharedLegend } from "./chart.tsx";
import type { Line, Mark } from "./plot.ts";
import { changeView, chartView, readView, readZoom, writeZoom, type Zoom } from "./view.ts";

export interface Run {
  id: string;
  label: string;
  series: Series;
  // The number of its colour, from 1. Default: the position of the run in the list.
  colour?: number;
  // The edges of the band, if the series is a mean over seeds.
  band?: Line["band"];
}

interface Props {
  runs: Run[];
  version: number;
  isLoading: boolean;
  marks?: Mark[];
  // The state of the legend of the page, which replaces the legends of the charts.
  legend?: SharedLegend;
  // Called after a zoom with the first and last step in view, to request more points.
  onRange?: (low: number, high: number) => void;
}

const MEASURED_SELDOM = /^(validation|evaluation)\//;

export function Charts({ runs, version, isLoading, marks = [], legend, onRange }: Props) {
  const zoom = useSignal<Zoom>(readZoom(route.value.parameters));
  useEffect(() => readView(route.value.parameters), []);
  const setZoom = useCallback(
    (range: Zoom) => {
      zoom.value = range;
      writeZoom(range);
      if (!range || !onRange || !runs.length) return;
      const { axis } = chartView.value;
      const [low, high] = range.map((edge) => runs[0].series.at(edge, axis)?.step ?? 0);
      onRange(low, high);
    },
    [onRange, runs],
  );
  // If the address contains a zoom, requests more points after the first points have arrived.
  useEffect(() => {
    if (!isLoading && zoom.value) setZoom(zoom.value);
  }, [isLoading]);
  const names = [...new Set(runs.flatMap(({ series }) => series.names))];
  const isShare = (name: string) => runs.every(({ series }) => (series.lowest(name) ?? 0) >= -1);
  const kinds = kindsFor(names, runs.length > 1, isShare);
  return (
    <>
      <Tools zoom={zoom.value} setZoom={setZoom} />
      <div class="grid charts">
        {kinds.map((kind) => (
          <Chart
            key={kind.title}
            kind={kind}
            lines={linesOf(kind, runs)}
            marks={runs.length > 1 ? [] : marks}
            legend={runs.length > 1 ? legend : undefined}
            {...{ version, isLoading, zoom: zoom.value, onZoom: setZoom }}
          />
        ))}
      </div>
    </>
  );
}

function linesOf(kind: Kind, runs: Run[]): Line[] {
  const isSeveral = runs.length > 1;
  return runs.flatMap((run, number) =>
    kind.metrics
      .filter(([name]) => run.series.has(name))
      .slice(0, isSeveral ? 1 : undefined)
      .map(([name, label], index) => ({
        id: isSeveral ? run.id : label,
        series: run.series,
        name,
        label: isSeveral ? run.label : label,
        colour: isSeveral ? (run.colour ?? number + 1) : index + 1,
        band: run.band,
        showsPoints: !kind.isExact && MEASURED_SELDOM.test(name),
      })),
  );
}

function Tools({ zoom, setZoom }: { zoom: Zoom; setZoom: (zoom: Zoom) => void }) {
  const view = chartView.value;
  return (
    <div class="tools">
      <Choices
        label="Horizontal axis"
        value={view.axis}
        onChange={(axis) => {
          setZoom(null);
          changeView({ axis });
        }}
        options={[
          { value: "step", label: "Steps" },
          { value: "words_seen", label: "Words" },
          { value: "time", label: "Time" },
        ]}
      />
      <label class="inline">
        Smoothing
        <input
          type="range"
          min={0}
          max={1}
          step={0.05}
          value={view.smoothing}
          onInput={(event) => changeView({ smoothing: Number(event.currentTarget.value) })}
        />
        <output>{view.smoothing.toFixed(2)}</output>
      </label>
      <Toggle label="Log scale" name="log" hint="Logarithmic vertical axis" />
      <Toggle
        label="Cut outliers"
        name="cut"
        hint="Leaves the most extreme values out of the vertical range"
      />
      <Toggle label="Marks" name="marks" hint="Checkpoints, milestones, warnings and resumes" />
      {zoom && (
        <button type="button" onClick={() => setZoom(null)}>
          Reset zoom
        </button>
      )}
      <span class="soft small hint-zoom">
        Drag to zoom. With the keyboard: Tab, then + − ← → Esc.
      </span>
    </div>
  );
}

interface ToggleProps {
  label: string;
  name: "log" | "cut" | "marks";
  hint: string;
}

function Toggle({ label, name, hint }: ToggleProps) {
  return (
    <label class="inline" title={hint}>
      <input
        type="checkbox"
        checked={chartView.value[name]}
        onChange={(event) => changeView({ [name]: event.currentTarget.checked })}
      />
      {label}
    </label>
  );
}
