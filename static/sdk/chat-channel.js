// @ts-check
/** Requests over the datachannel "chat", with the frames of the WebSocket (docs/protocol.md 1). Knows no DOM. */

import { ERROR_CODE, RtcError, serverError } from './errors.js';

/**
 * @typedef {Record<string, any>} Frame
 * @typedef {{resolve: (reply: Frame) => void, reject: (error: RtcError) => void, timer: any}} Pending
 */

const ANSWER_MS = 5_000;
/** Every browser takes a message of 16 KB. */
const MOST_BYTES = 16_000;

export class ChatChannel {
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** @type {Map<string, Pending>} */
  #pending = new Map();
  #nextId = 1;
  #on;

  /** @param {{changed: () => void, frame: (frame: Frame) => void}} on `changed`: it has opened or closed */
  constructor(on) {
    this.#on = on;
  }

  /**
   * Use this one from now on, whether it is open yet or not.
   * @param {RTCDataChannel | null} channel
   * @returns {boolean} whether it is another one than before
   */
  use(channel) {
    if (channel === this.#channel) return false;
    this.#channel = channel;
    this.#failPending();
    for (const event of ['open', 'close']) {
      channel?.addEventListener(event, () => {
        if (channel !== this.#channel) return;
        if (channel.readyState !== 'open') this.#failPending();
        this.#on.changed();
      });
    }
    channel?.addEventListener('message', ({ data }) => {
      if (channel === this.#channel && typeof data === 'string') this.#received(data);
    });
    return true;
  }

  /**
   * @param {string} type
   * @param {Frame} fields
   * @returns {Promise<Frame> | null} null: it cannot go this way
   */
  ask(type, fields) {
    const channel = this.#channel;
    if (channel?.readyState !== 'open') return null;
    const id = `c${this.#nextId++}`;
    const text = JSON.stringify({ id, t: type, ...fields });
    if (utf8(text) > MOST_BYTES) return null;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new RtcError(ERROR_CODE.OPERATION_FAILED, `the server did not answer ${type}`, { reason: 'timeout' }));
      }, ANSWER_MS);
      this.#pending.set(id, { resolve, reject, timer });
      try {
        channel.send(text);
      } catch {
        this.#failPending();
      }
    });
  }

  /** @param {string} data */
  #received(data) {
    /** @type {Frame} */
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof frame !== 'object' || frame === null) return;
    if (!('re' in frame)) {
      this.#on.frame(frame);
      return;
    }
    const waiting = this.#pending.get(frame.re);
    if (!waiting) return;
    this.#pending.delete(frame.re);
    clearTimeout(waiting.timer);
    if (frame.error) waiting.reject(serverError(frame.error));
    else waiting.resolve(frame);
  }

  #failPending() {
    for (const waiting of this.#pending.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(lost());
    }
    this.#pending.clear();
  }
}

const encoder = new TextEncoder();

/** @param {string} text @returns {number} its bytes */
export const utf8 = (text) => encoder.encode(text).length;

const lost = () => new RtcError(ERROR_CODE.OPERATION_FAILED, 'the datachannel is closed', { reason: 'lost' });
