// @ts-check
/**
 * What a member writes, on its way: one message at a time, so that they arrive as they were written. One that went down
 * with a connection goes again with the same random number, by which the server knows it. Knows no DOM.
 */

import { ERROR_CODE, RtcError, isLost, serverError } from './errors.js';

/**
 * @typedef {Record<string, any>} Frame
 * @typedef {{
 *   fields: Frame, refused: number, settled: boolean, timer: any,
 *   resolve: (reply: Frame) => void, reject: (error: RtcError) => void,
 * }} Outgoing
 */

const MOST_WAITING = 200;
const SEND_MS = 60_000;
const PAUSE_MS = 1_000;
/** Refusals that may be different in a moment, and are nobody's fault. */
const PASSING = new Set(['unavailable', 'overloaded', 'shutting_down']);

/** @param {unknown} error a refusal that may be different in a moment */
export const isPassing = (error) =>
  error instanceof RtcError && (error.retryAfterMs > 0 || PASSING.has(error.reason));

export class Outbox {
  #ask;
  /** @type {Outgoing[]} */
  #queue = [];
  #sending = false;
  /** what is queued was written in time, and waits because the connection was lost */
  #late = false;
  /** @type {Set<() => void>} whoever waits for a way to the server */
  #wakers = new Set();

  /** @param {(fields: Frame) => Promise<Frame>} ask sends one message; rejects with the reason "lost" without a way */
  constructor(ask) {
    this.#ask = ask;
  }

  /**
   * @param {Frame} fields of the request
   * @returns {Promise<Frame>} the server's answer; rejects when it refuses, or after a minute
   */
  send(fields) {
    if (this.#queue.length >= MOST_WAITING) return Promise.reject(tooMany());
    return new Promise((resolve, reject) => {
      /** @type {Outgoing} */
      const outgoing = { fields, refused: 0, settled: false, timer: 0, resolve, reject };
      outgoing.timer = setTimeout(() => this.#settle(outgoing, unsent()), SEND_MS);
      this.#queue.push(outgoing);
      void this.#run();
    });
  }

  /** There may be a way to the server again. */
  wake() {
    for (const waker of [...this.#wakers]) waker();
  }

  /** @param {RtcError} error why nothing of it goes out any more */
  clear(error) {
    for (const outgoing of this.#queue.splice(0)) this.#settle(outgoing, error);
    this.wake();
  }

  async #run() {
    if (this.#sending) return;
    this.#sending = true;
    while (this.#queue.length) {
      const outgoing = this.#queue[0];
      if (!outgoing.settled) await this.#sendOne(outgoing);
      if (outgoing.settled) this.#queue = this.#queue.filter((other) => other !== outgoing);
    }
    this.#sending = this.#late = false;
  }

  /** @param {Outgoing} outgoing sent, refused, or to be tried again when this returns */
  async #sendOne(outgoing) {
    try {
      const reply = await this.#ask(outgoing.fields);
      if (outgoing.settled) return;
      outgoing.settled = true;
      clearTimeout(outgoing.timer);
      outgoing.resolve(reply);
    } catch (error) {
      if (outgoing.settled) return;
      const { reason, retryAfterMs } = /** @type {RtcError} */ (error);
      // A request can slip in before `enter` on a new connection; then it is refused once.
      const early = reason === 'bad_request' && ++outgoing.refused < 2;
      if (isLost(error)) this.#late = true;
      if (isLost(error) || PASSING.has(reason) || early) await this.#way(Math.max(PAUSE_MS, retryAfterMs ?? 0));
      else if (this.#late && reason === 'too_many') await this.#way(retryAfterMs || PAUSE_MS);
      else this.#settle(outgoing, /** @type {RtcError} */ (error));
    }
  }

  /**
   * @param {Outgoing} outgoing
   * @param {RtcError} error
   */
  #settle(outgoing, error) {
    if (outgoing.settled) return;
    outgoing.settled = true;
    clearTimeout(outgoing.timer);
    outgoing.reject(error);
    this.wake();
  }

  /**
   * Wait for a way to the server, or this long.
   * @param {number} ms
   */
  #way(ms) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wakers.delete(done);
        resolve(undefined);
      };
      const timer = setTimeout(done, ms);
      this.#wakers.add(done);
    });
  }
}

const unsent = () =>
  new RtcError(ERROR_CODE.OPERATION_FAILED, 'the message could not be sent within a minute', { reason: 'timeout' });

const tooMany = () =>
  serverError({
    code: 1210, name: 'too_many', message: `${MOST_WAITING} messages wait to be sent`, retryAfterMs: PAUSE_MS,
  });
