// A value of the service that a page reads repeatedly and changes by actions.

import { type Signal, signal } from "@preact/signals";

// The order of requests for the same value. Their answers can arrive in any order; an answer is
// ignored if the answer to a later request has already been accepted.
export class RequestOrder {
  private sent = 0;
  private accepted = 0;

  // Registers a request. When the answer to this request arrives, the caller calls the returned
  // function. It returns true if the answer must be used, and false if it is outdated.
  register(): () => boolean {
    this.sent += 1;
    const number = this.sent;
    return () => {
      if (number < this.accepted) return false;
      this.accepted = number;
      return true;
    };
  }
}

// The answers to concurrent requests arrive in any order. This class never replaces a newer value
// by an older one. Actions run one after the other. A read that overlaps an action is aborted and
// repeated. If several reads overlap, `RequestOrder` decides which answers are shown.
export class Resource<T> {
  private latest: Signal<T>;
  private actions: Promise<unknown> = Promise.resolve();
  private action = new AbortController(); // aborted when the next action begins
  private order = new RequestOrder();

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
      await this.untilIdle();
      const accept = this.order.register();
      const overlap = this.action.signal;
      try {
        const answer = await this.load(AbortSignal.any([abort, overlap]));
        if (overlap.aborted) continue;
        if (accept()) this.latest.value = answer;
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
      this.latest.value = answer;
      return answer;
    });
  }

  // Waits until no action is running or queued.
  private async untilIdle() {
    let last: Promise<unknown> | undefined;
    while (last !== this.actions) {
      last = this.actions;
      await last;
    }
  }
}
