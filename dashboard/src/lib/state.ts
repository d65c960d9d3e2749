// State that the whole page shares.

import { signal } from "@preact/signals";

export const isConnected = signal(true);
// A text that only screen readers announce.
export const announcement = signal("");

export function announce(text: string) {
  announcement.value = text;
}
