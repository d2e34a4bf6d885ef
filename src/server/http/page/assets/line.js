// Pictures wait here for their answers: a bounded number is asked for at a time, and what the server has no room for comes again when it
// says so. Knows nothing of the page.

import { opened } from './key.js';
import { Refusal, Unreachable, back, pause } from './server.js';

/** So many requests at a time. Browsers hold six connections to a server; the others are for what is looked at meanwhile. */
const WIDTH = 4;

/** A picture whose connection is cut so often is not sent again. */
const MOST_CUTS = 3;

/** The most tries for what the server has no room for. */
const MOST_TRIES = 60;

export class Line {
  #queue = [];
  #next = 0;
  #busy = 0;
  #holdUntil = 0;
  #stop = new AbortController();

  /**
   * @param ask asks for what an item still needs: (item, signal, isLast) => { more, waitMs }
   * @param changed is called when an item's state is another one
   */
  constructor(ask, changed) {
    this.ask = ask;
    this.changed = changed;
  }

  get isBusy() {
    return this.#busy > 0;
  }

  /** Puts items at the end. */
  add(items) {
    for (const item of items) {
      item.state = 'waiting';
      item.error = undefined;
      this.#queue.push(item);
    }
    while (this.#busy < WIDTH && this.#next < this.#queue.length) this.#work();
    this.changed();
  }

  /** Gives up everything that has no answer yet. */
  cancel() {
    for (const item of this.#queue.slice(this.#next)) item.state = 'cancelled';
    this.#queue = [];
    this.#next = 0;
    this.#stop.abort(new DOMException('cancelled', 'AbortError'));
    this.#stop = new AbortController();
    this.changed();
  }

  async #work() {
    this.#busy += 1;
    for (let item; (item = this.#take()); ) {
      await this.#answer(item, this.#stop.signal);
      this.changed();
    }
    this.#busy -= 1;
    this.changed();
  }

  #take() {
    const item = this.#queue[this.#next];
    if (!item) {
      this.#queue = [];
      this.#next = 0;
      return undefined;
    }
    this.#next += 1;
    return item;
  }

  async #answer(item, signal) {
    for (let tries = 1, cuts = 0; ; ) {
      try {
        await opened(signal);
        await back(signal);
        await this.#hold(signal);
        item.state = 'running';
        this.changed();
        const { more, waitMs } = await this.ask(item, signal, tries >= MOST_TRIES);
        if (!more) {
          item.state = 'done';
          return;
        }
        tries += 1;
        this.#holdFor(waitMs);
      } catch (error) {
        if (signal.aborted) item.state = 'cancelled';
        else if (error instanceof Unreachable && ++cuts >= MOST_CUTS) fail(item, `the connection was cut ${cuts} times while this picture was sent`);
        else if (error instanceof Refusal && error.passes && ++tries <= MOST_TRIES) this.#holdFor(error.retryAfterMs);
        // One without the right key goes on with the next one.
        else if (!(error instanceof Unreachable) && error.status !== 401) fail(item, error.message, error.code);
        if (item.state === 'cancelled' || item.state === 'failed') return;
      }
      item.state = 'waiting';
      this.changed();
    }
  }

  /** All wait, not only the one that was refused. A little more by chance, so that not all come at once. */
  #holdFor(ms) {
    this.#holdUntil = Math.max(this.#holdUntil, Date.now() + ms * (1 + Math.random() / 4));
  }

  async #hold(signal) {
    for (let left; (left = this.#holdUntil - Date.now()) > 0; ) await pause(left, signal);
  }
}

function fail(item, message, code = '') {
  item.state = 'failed';
  item.error = { message, code };
}
