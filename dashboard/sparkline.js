// A curve as small as a word.

import { svg } from "/static/dom.js";

const WIDTH = 92;
const HEIGHT = 28;

export function sparkline(values, label) {
  const known = values.filter((value) => value !== null && value !== undefined);
  const node = svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  if (known.length < 2) return node;
  const low = Math.min(...known);
  const span = Math.max(...known) - low || 1;
  const points = known.map((value, index) =>
    `${((index / (known.length - 1)) * WIDTH).toFixed(1)} ${(HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4)).toFixed(1)}`);
  node.append(svg("path", { d: `M${points.join("L")}` }));
  return node;
}
