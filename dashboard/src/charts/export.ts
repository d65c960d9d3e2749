// A chart as PNG, SVG or CSV.

import { save } from "../api/client.ts";
import type { Axis } from "../lib/series.ts";
import { colour, type Line, lineColour, X_LABELS } from "./plot.ts";

const WIDTH = 900;
const HEIGHT = 420;
const MARGIN = { left: 70, right: 20, top: 50, bottom: 50 };
const TICKS = 5;

function fileName(title: string, type: string) {
  return `${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.${type}`;
}

export function savePng(canvas: HTMLCanvasElement, title: string) {
  const copy = document.createElement("canvas");
  copy.width = canvas.width;
  copy.height = canvas.height;
  const context = copy.getContext("2d")!;
  context.fillStyle = colour("--card");
  context.fillRect(0, 0, copy.width, copy.height);
  context.drawImage(canvas, 0, 0);
  copy.toBlob((blob) => blob && save(blob, fileName(title, "png")), "image/png");
}

export function saveCsv(lines: Line[], title: string) {
  const rows = ["run,metric,step,words_seen,seconds,value"];
  for (const { series, name, label } of lines) {
    const { steps, y } = series.line(name, "step");
    steps.forEach((step, index) => {
      const place = series.at(step, "step");
      const value = y[index] ?? "";
      rows.push(`${quoted(label)},${name},${step},${place?.words},${place?.seconds},${value}`);
    });
  }
  save(new Blob([`${rows.join("\n")}\n`], { type: "text/csv" }), fileName(title, "csv"));
}

function quoted(text: string) {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function escaped(text: string) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

interface Scale {
  low: number;
  high: number;
  at: (value: number) => number;
}

function scaleOf(values: number[], from: number, to: number): Scale {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const span = high - low || 1;
  return { low, high, at: (value) => from + ((value - low) / span) * (to - from) };
}

function ticks({ low, high }: Scale) {
  return Array.from({ length: TICKS }, (_, index) => low + ((high - low) * index) / (TICKS - 1));
}

export function saveSvg(lines: Line[], title: string, axis: Axis, format: (v: number) => string) {
  const data = lines.map((line) => line.series.line(line.name, axis));
  const known = data.flatMap(({ y }) => y).filter((value) => value !== null);
  const x = scaleOf(
    data.flatMap((one) => one.x),
    MARGIN.left,
    WIDTH - MARGIN.right,
  );
  const y = scaleOf(known, HEIGHT - MARGIN.bottom, MARGIN.top);
  const text = (left: number, top: number, words: string, anchor = "middle") =>
    `<text x="${left.toFixed(1)}" y="${top.toFixed(1)}" text-anchor="${anchor}">${escaped(words)}</text>`;
  const paths = data.map((one, index) => {
    const points = one.x
      .map((value, at) => [value, one.y[at]] as const)
      .filter((point): point is readonly [number, number] => point[1] !== null)
      .map(([left, top]) => `${x.at(left).toFixed(1)} ${y.at(top).toFixed(1)}`);
    const stroke = lineColour(lines[index].colour);
    return `<path d="M${points.join("L")}" fill="none" stroke="${stroke}" stroke-width="1.5"/>`;
  });
  const legend = lines.map((line, index) => {
    const left = MARGIN.left + index * 160;
    return `<rect x="${left}" y="32" width="12" height="3" fill="${lineColour(line.colour)}"/>${text(left + 18, 37, line.label, "start")}`;
  });
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    text(MARGIN.left, 20, title, "start"),
    ...legend,
    ...ticks(x).map((value) => text(x.at(value), HEIGHT - 30, axisText(value))),
    ...ticks(y).map((value) => text(MARGIN.left - 8, y.at(value) + 4, format(value), "end")),
    text(WIDTH / 2, HEIGHT - 10, X_LABELS[axis]),
    ...paths,
    "</svg>",
  ];
  const blob = new Blob([parts.join("\n")], { type: "image/svg+xml" });
  save(blob, fileName(title, "svg"));
}

function axisText(value: number) {
  return new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format(value);
}
