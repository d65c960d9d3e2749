// The cards of the presets: model, parameters, words and expected time.

import type { ComponentChildren } from "preact";
import { type Estimate, timeText } from "../../lib/estimate.ts";
import { plural, tickCount } from "../../lib/format.ts";
import type { Catalogue, Preset } from "./store.ts";

interface Props {
  preset: Preset;
  catalogue: Catalogue;
  estimate: Estimate | undefined;
  // Number of words of the text, which the card shows until there is an estimate.
  words: number | null;
  isChosen: boolean;
  choose: () => void;
  children?: ComponentChildren;
}

export function PresetCard(props: Props) {
  const { preset, catalogue, estimate, isChosen, choose, children } = props;
  return (
    <button type="button" class="preset" aria-pressed={isChosen} onClick={choose}>
      <b>{titleOf(preset, catalogue, estimate)}</b>
      {factsOf(props).map((fact) => (
        <small key={fact} class="facts">
          {fact}
        </small>
      ))}
      <small>{preset.description}</small>
      <small class="preset-foot">
        <code>{preset.name}</code>
        {children}
      </small>
    </button>
  );
}

// The title of a card, such as "OLMo 2, 59M parameters".
function titleOf(preset: Preset, { architectures }: Catalogue, estimate: Estimate | undefined) {
  const { architecture } = preset.spec.model;
  const title = architectures.find(({ name }) => name === architecture)?.title ?? architecture;
  const parameters = estimate?.parameter_count ?? preset.parameter_count;
  return `${title}, ${sizeText(parameters)} parameters`;
}

// A number with two significant digits, such as 9.9M, because a card gives only a rough size.
export function sizeText(value: number): string {
  return tickCount(Number(value.toPrecision(2)));
}

function factsOf({ preset, estimate, catalogue: { device }, ...props }: Props): string[] {
  const { epochs, max_steps: steps } = preset.spec.training;
  const words = estimate?.words ?? props.words;
  const amount = [
    words && `${sizeText(words)} words`,
    steps ? `at most ${plural(steps, "step")}` : plural(epochs, "epoch"),
  ];
  const time = estimate && (timeText(estimate, device) ?? "time unknown: the text is missing");
  return [amount.filter(Boolean).join(", "), time ?? "…"];
}
