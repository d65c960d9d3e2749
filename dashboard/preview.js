// Lines of a corpus as they lie in its files, beside what cleaning leaves of them.

import { get } from "/static/api.js";
import { el } from "/static/dom.js";

const LINES = 8;

export async function previewNode(dataset, clean, signal) {
  const found = await get(`/v1/datasets/${encodeURIComponent(dataset)}`, { signal });
  return el("details", { class: "more" }, el("summary", {}, `Lines of ${dataset}, before and after cleaning`),
    found.files.slice(0, 6).map((file) => [el("h3", {}, file.name), linesNode(file.preview.slice(0, LINES))]));
}

export function linesNode(lines) {
  return el("div", { class: "lines" }, el("div", { class: "head" }, "As it lies in the file"), el("div", { class: "head" }, "As it is trained on"),
    lines.flatMap(({ raw, cleaned }) => [el("div", {}, raw),
      cleaned ? el("div", {}, cleaned) : el("div", { class: "gone" }, "dropped")]));
}
