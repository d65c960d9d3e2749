// The tokens of a text, and the message if a tokenizer could not split it.

import type { Token } from "./splits.ts";

export function Tokens({ tokens, name }: { tokens: Token[]; name: string }) {
  return (
    <ul class="tokens" aria-label={name}>
      {tokens.map(({ id, piece, text }, index) => (
        <li key={`${index} ${id}`} title={`id ${id}, entry ${piece}`}>
          {visible(text || piece)}
        </li>
      ))}
    </ul>
  );
}

export function SplitFault({ fault, again }: { fault: string; again: () => void }) {
  return (
    <p class="notice error" role="alert">
      {fault}{" "}
      <button type="button" onClick={again}>
        Try again
      </button>
    </p>
  );
}

// The text of a token with visible spaces and line breaks, because they are part of the token.
function visible(text: string) {
  return text.replaceAll("\n", "⏎").replaceAll(" ", "·");
}
