// @ts-check
/** Events by name. A listener that fails is reported in the console and disturbs nobody else. */

import { log } from './log.js';

/** @typedef {(detail: any) => void} Handler */

export class Emitter {
  /** @type {Map<string, Set<{handler: Handler, context: unknown}>>} */
  #listeners = new Map();

  /**
   * @param {string} event
   * @param {Handler} handler
   * @param {unknown} [context] `this` of the handler
   */
  on(event, handler, context) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event)?.add({ handler, context });
  }

  /**
   * @param {string} event '*' takes all away
   * @param {Handler} [handler] nothing: all of this event
   * @param {unknown} [context] only those that were added with it
   */
  off(event, handler, context) {
    if (event === '*') this.#listeners.clear();
    const entries = this.#listeners.get(event);
    for (const entry of entries ?? []) {
      if (handler && entry.handler !== handler) continue;
      if (context !== undefined && entry.context !== context) continue;
      entries?.delete(entry);
    }
  }

  /** @param {string} event */
  listens(event) {
    return !!this.#listeners.get(event)?.size;
  }

  /**
   * @param {string} event
   * @param {unknown} [detail]
   */
  emit(event, detail) {
    log.debug(event, detail);
    for (const { handler, context } of [...(this.#listeners.get(event) ?? [])]) {
      try {
        handler.call(context, detail);
      } catch (error) {
        log.error(error);
      }
    }
  }
}
