// The estimates of all presets, which the cards show before the user chooses a preset.

import { signal } from "@preact/signals";
import { post } from "../../api/client.ts";
import type { Spec } from "../../api/types.ts";
import type { Estimate } from "../../lib/estimate.ts";
import type { Preset } from "./store.ts";

const REQUESTS = 3;

export class PresetTimes {
  found = signal<Map<string, Estimate>>(new Map());

  // Requests the estimate of each preset. `specOf` gives the spec of a job with a preset.
  async read(presets: Preset[], specOf: (preset: Preset) => Spec, abort: AbortSignal) {
    const waiting = [...presets];
    const work = async () => {
      for (let preset = waiting.shift(); preset; preset = waiting.shift()) {
        const words = preset.words === null ? "" : `?words=${preset.words}`;
        try {
          const path = `/v1/jobs/estimate${words}`;
          const estimate = await post<Estimate>(path, specOf(preset), abort);
          this.found.value = new Map(this.found.value).set(preset.name, estimate);
        } catch {
          // the card shows no time
        }
      }
    };
    await Promise.all(Array.from({ length: REQUESTS }, work));
  }
}
