// The second step: a card for each model.

import { isMeasured } from "../../lib/estimate.ts";
import { Card } from "../../ui/card.tsx";
import { PresetCard } from "../new/cards.tsx";
import type { Catalogue, Preset } from "../new/store.ts";
import type { PresetTimes } from "../new/times.ts";
import { groupsOf } from "./choice.ts";

interface Props {
  catalogue: Catalogue;
  times: PresetTimes;
  // Words of the chosen text.
  words: number | undefined;
  recommended: string;
  chosen: string;
  choose: (name: string) => void;
}

export function ModelStep({ catalogue, times, words, recommended, chosen, choose }: Props) {
  const { first, more } = groupsOf(catalogue.presets, recommended);
  const card = (preset: Preset) => (
    <PresetCard
      key={preset.name}
      preset={preset}
      catalogue={catalogue}
      estimate={times.found.value.get(preset.name)}
      words={words ?? preset.words}
      isChosen={preset.name === chosen}
      choose={() => choose(preset.name)}
    >
      {preset.name === recommended && <span class="button tag">Recommended</span>}
    </PresetCard>
  );
  return (
    <Card title="2. Model">
      <fieldset class="presets wide" aria-label="Models">
        {first.map(card)}
      </fieldset>
      <TimesNote catalogue={catalogue} times={times} />
      <details class="more" open={more.some(({ name }) => name === chosen)}>
        <summary>More models ({more.length})</summary>
        <fieldset class="presets wide below" aria-label="More models">
          {more.map(card)}
        </fieldset>
      </details>
    </Card>
  );
}

// Where the times of the cards come from.
function TimesNote({ catalogue, times }: Pick<Props, "catalogue" | "times">) {
  const [estimate] = times.found.value.values();
  if (!estimate) return null;
  const { device } = catalogue;
  const name = device === "cuda" ? "GPU" : "CPU";
  return (
    <p class="soft small below">
      {isMeasured(estimate, device)
        ? `The times come from the speed that your worker has measured on its ${name}.`
        : `No worker has measured the speed of its ${name} yet, so the times are assumptions.`}
    </p>
  );
}
