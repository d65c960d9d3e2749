// The choices of the guided start: a text and a preset.

import type { Spec } from "../../api/types.ts";
import type { Device } from "../../lib/estimate.ts";
import { isTrainingText, SAMPLE, textOf } from "../../lib/texts.ts";
import type { Summary } from "../corpora/index.tsx";
import type { NewJob, Preset } from "../new/store.ts";

const LARGE_WORDS = 2e7;

// The first training text that is not the sample, or else the sample.
export function firstText(corpora: Summary[]): string | undefined {
  const names = corpora.map(({ name }) => name).filter(isTrainingText);
  return names.find((name) => name !== SAMPLE) ?? names[0];
}

// The preset that suits a text and the device of the workers.
export function recommendedPreset(text: Summary | undefined, device: Device): string {
  if (!text || text.name === SAMPLE) return SAMPLE;
  if (device === "cpu") return "best-cpu";
  return text.words > LARGE_WORDS ? "best-100m" : "best-10m";
}

export interface Groups {
  first: Preset[];
  more: Preset[];
}

// The first group has the recommended preset and the other best recipes. The second group has the
// presets for comparisons, and each preset with the same spec as an earlier preset.
export function groupsOf(presets: Preset[], recommended: string): Groups {
  const seen = new Set<string>();
  const groups: Groups = { first: [], more: [] };
  const rank = ({ name }: Preset) => (name === recommended ? 0 : 1);
  for (const preset of [...presets].sort((a, b) => rank(a) - rank(b))) {
    const { name: _, preset: __, ...content } = preset.spec;
    const key = JSON.stringify(content);
    const isFirst = /^(sample$|best-)/.test(preset.name) && !seen.has(key);
    (isFirst ? groups.first : groups.more).push(preset);
    seen.add(key);
  }
  return groups;
}

// The spec of a job with a preset and a text.
export function specOf(preset: Preset, text: string | undefined, corpora: Summary[]): Spec {
  if (!text) return { preset: preset.name };
  return {
    preset: preset.name,
    data: textOf(
      text,
      corpora.map(({ name }) => name),
    ),
  };
}

// Applies a preset and a text to a new job.
export function applyChoices(job: NewJob, preset: string, text: string | undefined) {
  job.choosePreset(preset);
  if (text !== undefined) job.chooseText(text);
}
