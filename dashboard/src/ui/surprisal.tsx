// A text with tokens that are coloured by their surprisal. Choosing a token shows what the model
// expected.

import { useState } from "preact/hooks";
import type { ScoredText, ScoredToken } from "../api/playground.ts";
import { fixed, percent } from "../lib/format.ts";

// Upper limits of the colour levels, in bits.
const LEVELS = [2, 4, 7, 10, 14];

function levelOf(bits: number | null | undefined) {
  if (bits === null || bits === undefined) return "unscored";
  const level = LEVELS.findIndex((limit) => bits < limit);
  return `s${level < 0 ? LEVELS.length : level}`;
}

export function SurprisalText({ scored, label }: { scored: ScoredText; label: string }) {
  const [chosen, setChosen] = useState<number | null>(null);
  const token = chosen === null ? null : scored.tokens[chosen];
  return (
    <div class="surprisal">
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as text */}
      <div class="scored" role="group" aria-label={label}>
        {scored.tokens.map((one, index) => (
          <button
            key={index}
            type="button"
            class={levelOf(one.surprisal)}
            aria-pressed={index === chosen}
            aria-label={describe(one)}
            onPointerEnter={() => setChosen(index)}
            onFocus={() => setChosen(index)}
            onClick={() => setChosen(index)}
          >
            {one.text}
          </button>
        ))}
      </div>
      <Expected token={token} />
    </div>
  );
}

function describe({ text, surprisal }: ScoredToken) {
  const bits = surprisal === null ? "not scored" : `${fixed(surprisal, 1)} bits`;
  return `${text.trim() || "space"}: ${bits}`;
}

function Expected({ token }: { token: ScoredToken | null }) {
  if (!token) return <div class="expected" />;
  if (token.surprisal === null) {
    return (
      <p class="expected soft small">
        “{token.text}” is the first token: it has no context, so it is not scored.
      </p>
    );
  }
  return (
    <div class="expected small">
      <p>
        “{token.text.trim() || "space"}”: <b>{fixed(token.surprisal, 1)} bits</b>, probability{" "}
        {share(2 ** -token.surprisal)}. The model expected:
      </p>
      <ol>
        {token.alternatives.map(({ text, probability }, index) => (
          <li key={index}>
            <code>{text.replaceAll("\n", "⏎").trim() || "space"}</code> {share(probability)}
          </li>
        ))}
      </ol>
    </div>
  );
}

function share(probability: number) {
  return probability < 0.001 ? "below 0.1 %" : percent(probability, 1);
}

// What the colours mean.
export function SurprisalKey() {
  return (
    <p class="surprisal-key soft small">
      Surprisal in bits:
      {LEVELS.map((limit, level) => (
        <span key={limit} class={`s${level}`}>
          {level === 0 ? `under ${limit}` : `${LEVELS[level - 1]}–${limit}`}
        </span>
      ))}
      <span class={`s${LEVELS.length}`}>{LEVELS.at(-1)} and more</span>
      Point at a token to see what the model expected.
    </p>
  );
}
