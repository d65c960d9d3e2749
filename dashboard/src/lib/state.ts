// State that the whole page shares.

import { signal } from "@preact/signals";

export const isConnected = signal(true);
// The text for screen readers only.
export const announcement = signal("");

export function announce(text: string) {
  announcement.value = text;
}
