// Requests of the playground: generated text as a stream, and the surprisal of each token.

import type { CheckpointId } from "../lib/ids.ts";
import { post, Refused, request } from "./client.ts";
import type { components } from "./schema.ts";
import { messages } from "./stream.ts";

type Schemas = components["schemas"];
export type ScoredText = Schemas["ScoredTextRead"];
export type ScoredToken = Schemas["ScoredTokenRead"];
type Surprisal = Schemas["SurprisalRead"];
type Written = Schemas["WrittenRead"];

export interface Settings {
  max_new_tokens: number;
  temperature: number;
  top_k: number | null;
  seed: number;
}

// The service ends a stream after two minutes.
const SILENCE_MILLISECONDS = 130_000;
const UNFINISHED = "The connection was lost before the text was complete. Generate it again.";

function pathOf({ job, name }: CheckpointId) {
  return `/v1/jobs/${job}/checkpoints/${encodeURIComponent(name)}`;
}

// Continues a prompt; `onText` receives the text so far, with the prompt. Returns the whole text.
export async function generate(
  checkpoint: CheckpointId,
  body: Settings & { prompt: string },
  onText: (text: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const open = (signal: AbortSignal) =>
    request(`${pathOf(checkpoint)}/generate/stream`, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json" },
      signal,
    });
  for await (const written of messages<Written>(open, signal, SILENCE_MILLISECONDS)) {
    if (written.error) throw new Refused({ detail: written.error.message });
    onText(written.text);
    if (written.done) return written.text;
  }
  throw new Error(UNFINISHED);
}

export async function score(checkpoint: CheckpointId, texts: string[], signal: AbortSignal) {
  const path = `${pathOf(checkpoint)}/surprisal`;
  return (await post<Surprisal>(path, { texts }, signal)).texts;
}
