// A value of the service that a page reads repeatedly and changes by actions.

import { type Signal, signal } from "@preact/signals";

// The answers to concurrent requests arrive in any order. An older answer never replaces a newer
// one here: the answer to a read that overlaps an action is discarded and the read is repeated, the
// actions run one after the other, and of several reads the one that was sent last counts.
export class Resource<T> {
  private latest: Signal<T>;
  private actions: Promise<unknown> = Promise.resolve();
  private action = new AbortController(); // aborted when the next action begins
  private sent = 0;
  private shown = 0;

  constructor(
    first: T,
    private load: (signal: AbortSignal) => Promise<T>,
  ) {
    this.latest = signal(first);
  }

  get value(): T {
    return this.latest.value;
  }

  async read(abort: AbortSignal): Promise<void> {
    for (;;) {
      await this.isIdle();
      this.sent += 1;
      const number = this.sent;
      const overlap = this.action.signal;
      try {
        const answer = await this.load(AbortSignal.any([abort, overlap]));
        if (overlap.aborted) continue;
        if (number > this.shown) this.show(answer, number);
        return;
      } catch (error) {
        if (abort.aborted || !overlap.aborted) throw error;
      }
    }
  }

  // Runs an action that changes the value on the service.
  change<R>(act: () => Promise<R>): Promise<R> {
    const result = this.actions.then(() => {
      this.action.abort();
      this.action = new AbortController();
      return act();
    });
    this.actions = result.catch(() => {});
    return result;
  }

  // Runs an action whose answer is the new value.
  write(act: () => Promise<T>): Promise<T> {
    return this.change(async () => {
      const answer = await act();
      this.show(answer, this.sent);
      return answer;
    });
  }

  private show(answer: T, number: number) {
    this.shown = number;
    this.latest.value = answer;
  }

  private async isIdle() {
    let last: Promise<unknown> | undefined;
    while (last !== this.actions) {
      last = this.actions;
      await last;
    }
  }
}
