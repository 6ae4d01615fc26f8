// @ts-check
/**
 * One control session with the gateway: a WebSocket that speaks docs/protocol.md, and comes back by itself.
 *
 * Every request is answered exactly once, by the server or by an error here; nothing waits for ever. When the socket
 * is lost the session reconnects with growing pauses and resumes its place in the room by the token of the last
 * `entered` (kept in memory only), or, when its time is over, enters again with its tickets.
 */

import { ERROR_CODE, RtcError, aborted, serverError } from './errors.js';

/**
 * @typedef {'closed' | 'connecting' | 'open' | 'reconnecting'} SignalingState
 * @typedef {Record<string, any>} Message
 * @typedef {{
 *   onState: (state: SignalingState, error?: RtcError) => void,
 *   onEntered: (entered: Message, again: boolean) => void,
 *   onMessage: (message: Message) => void,
 *   kept: () => ('up' | 'down')[],
 *   chat: () => object | undefined,
 * }} Handlers `kept` names the media connections that still live here, `chat` what is known of the room's messages
 */

const REQUEST_TIMEOUT_MS = 10_000;
const OPEN_TIMEOUT_MS = 8_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4_000;
const GIVE_UP_MS = 120_000;
const PROBE_TIMEOUT_MS = 3_000;
/** Refusals that may be different in a moment. */
const PASSING = new Set(['unavailable', 'overloaded', 'shutting_down', 'too_many']);

export class Signaling {
  #url;
  #handlers;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<number, {resolve: (reply: Message) => void, reject: (error: RtcError) => void, timer: number}>} */
  #pending = new Map();
  #nextId = 1;
  /** @type {Message | null} what `enter` carries, without `resume` */
  #ticket = null;
  #resumeToken = '';
  /** @type {RTCIceServer[]} the operator's STUN and TURN servers */
  iceServers = [];
  /** @type {SignalingState} */
  #state = 'closed';
  /** @type {WebSocket | null} the one that was opened last, whether it became ours or not */
  #opening = null;
  /** @type {(() => void) | null} */
  #wake = null;
  /** since when the server was looked for in vain */
  #missedSince = 0;

  /**
   * @param {string} url ws:// or wss:// address of /signaling
   * @param {Handlers} handlers
   */
  constructor(url, handlers) {
    this.#url = url;
    this.#handlers = handlers;
  }

  get state() {
    return this.#state;
  }

  /**
   * Connect and enter. Rejects with an RtcError when the server cannot be reached or refuses.
   * @param {Message} ticket fields of `enter`
   * @returns {Promise<Message>} the `entered` message
   */
  async enter(ticket) {
    this.#ticket = { v: 1, ...ticket };
    this.#resumeToken = '';
    this.#setState('connecting');
    const mine = this.#ticket;
    try {
      return await this.#open(false);
    } catch (error) {
      if (mine !== this.#ticket) throw aborted('enterRoom');
      this.#ticket = null;
      this.#setState('closed');
      throw error;
    }
  }

  /**
   * Send a request; the promise is settled by the reply, a time-out or the loss of the connection.
   * @param {string} type
   * @param {Message} [fields]
   * @param {number} [timeoutMs]
   * @returns {Promise<Message>}
   */
  request(type, fields = {}, timeoutMs = REQUEST_TIMEOUT_MS) {
    const socket = this.#socket;
    if (!socket || socket.readyState !== WebSocket.OPEN) return Promise.reject(lost());
    return this.#ask(socket, type, fields, timeoutMs);
  }

  /**
   * Enter with other fields than before, if the connection is lost.
   * @param {Message} fields
   */
  amend(fields) {
    if (this.#ticket) Object.assign(this.#ticket, fields);
  }

  /** Try at once if this is a pause before the next attempt: the network may be back. */
  hurry() {
    this.#missedSince = performance.now();
    this.#wake?.();
  }

  /** Find out whether the connection is alive, and come back at once if not: nobody knows after a sleep. */
  probe() {
    if (this.#state === 'reconnecting') this.hurry();
    else if (this.#state === 'open') this.request('history', { count: 1 }, PROBE_TIMEOUT_MS).catch(() => undefined);
  }

  /** Treat the connection as dead now (a request went unanswered, the network changed) and come back. */
  reconnect() {
    this.#socket?.close(4000);
    if (this.#socket) this.#lost(this.#socket);
  }

  /** Leave the room and close for good. */
  async leave() {
    const socket = this.#socket;
    this.#ticket = null;
    this.#resumeToken = '';
    this.#wake?.();
    if (socket?.readyState === WebSocket.OPEN) await this.#ask(socket, 'leave', {}, 1000).catch(() => undefined);
    this.close();
  }

  /** Close without a word: the server has already ended this session. */
  close() {
    this.#ticket = null;
    const socket = this.#socket;
    this.#socket = null;
    this.#failPending(lost());
    socket?.close(1000);
    this.#opening?.close();
    this.#setState('closed');
    this.#wake?.();
  }

  /**
   * @param {WebSocket} socket
   * @param {string} type
   * @param {Message} fields
   * @param {number} timeoutMs
   * @returns {Promise<Message>}
   */
  #ask(socket, type, fields, timeoutMs) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new RtcError(ERROR_CODE.OPERATION_FAILED, `the server did not answer ${type}`, { reason: 'timeout' }));
        if (socket === this.#socket && this.#state === 'open') this.reconnect();
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      socket.send(JSON.stringify({ id, t: type, ...fields }));
    });
  }

  /**
   * @param {boolean} again
   * @returns {Promise<Message>}
   */
  async #open(again) {
    const ticket = this.#ticket;
    const socket = new WebSocket(this.#url);
    this.#opening = socket;
    try {
      await opened(socket);
    } catch (error) {
      socket.close();
      throw error;
    }
    if (!ticket || ticket !== this.#ticket) {
      socket.close();
      throw lost();
    }
    this.#socket = socket;
    socket.onmessage = (event) => this.#receive(socket, event.data);
    socket.onclose = () => this.#lost(socket);
    /** @type {Message} */
    let entered;
    try {
      entered = await this.#enterOn(socket, again ? this.#handlers.chat() : undefined);
      if (ticket !== this.#ticket) throw lost(); // left meanwhile
    } catch (error) {
      if (this.#socket === socket) this.#socket = null;
      socket.onclose = null;
      socket.close();
      throw error;
    }
    this.#resumeToken = entered.resume ?? '';
    this.iceServers = Array.isArray(entered.iceServers) ? entered.iceServers : [];
    this.#handlers.onEntered(entered, again);
    this.#setState('open');
    return entered;
  }

  /**
   * Enter by the resume token if there is one; its time may be over while the tickets are still good.
   * @param {WebSocket} socket
   * @param {object | undefined} chat for one who comes back
   * @returns {Promise<Message>}
   */
  async #enterOn(socket, chat) {
    /** @type {Message} */
    const ticket = chat ? { ...this.#ticket, chat } : { ...this.#ticket };
    if (this.#resumeToken) {
      const { userSig: _userSig, privateMapKey: _privateMapKey, ...place } = ticket;
      const fields = { ...place, resume: this.#resumeToken, keep: this.#handlers.kept() };
      try {
        return await this.#ask(socket, 'enter', fields, REQUEST_TIMEOUT_MS);
      } catch (error) {
        if (!isRefusal(error) || socket.readyState !== WebSocket.OPEN) throw error;
        this.#resumeToken = '';
      }
    }
    return this.#ask(socket, 'enter', ticket, REQUEST_TIMEOUT_MS);
  }

  /**
   * @param {WebSocket} socket
   * @param {unknown} data
   */
  #receive(socket, data) {
    if (socket !== this.#socket || typeof data !== 'string') return;
    /** @type {Message} */
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if ('re' in message) {
      const waiting = this.#pending.get(message.re);
      if (!waiting) return;
      this.#pending.delete(message.re);
      clearTimeout(waiting.timer);
      if (message.error) waiting.reject(serverError(message.error));
      else waiting.resolve(message);
    } else {
      this.#handlers.onMessage(message);
    }
  }

  /** @param {WebSocket} socket */
  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#failPending(lost());
    if (this.#ticket && this.#state === 'open') void this.#comeBack();
  }

  async #comeBack() {
    this.#setState('reconnecting');
    this.#missedSince = performance.now();
    let pause = FIRST_PAUSE_MS;
    const ticket = this.#ticket;
    while (ticket && ticket === this.#ticket) {
      try {
        await this.#open(true);
        return;
      } catch (error) {
        if (ticket !== this.#ticket) return;
        const refused = isRefusal(error);
        if (refused || performance.now() - this.#missedSince > GIVE_UP_MS) {
          this.#ticket = null;
          this.#setState('closed', refused ? /** @type {RtcError} */ (error) : lost(REENTRY_FAILED));
          return;
        }
        const advised = error instanceof RtcError ? error.retryAfterMs : 0;
        await this.#sleep(Math.max(advised, pause * (0.75 + Math.random() / 2)));
        pause = Math.min(pause * 1.7, LONGEST_PAUSE_MS);
      }
    }
  }

  /** @param {number} ms */
  #sleep(ms) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve(undefined);
      };
      const timer = setTimeout(done, ms);
      this.#wake = done;
    });
  }

  /** @param {RtcError} error */
  #failPending(error) {
    for (const waiting of this.#pending.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(error);
    }
    this.#pending.clear();
  }

  /**
   * @param {SignalingState} state
   * @param {RtcError} [error]
   */
  #setState(state, error) {
    if (state === this.#state) return;
    this.#state = state;
    this.#handlers.onState(state, error);
  }
}

/** @param {unknown} error whether the server said no, and would say so again */
const isRefusal = (error) =>
  error instanceof RtcError && error.code === ERROR_CODE.SERVER_ERROR && !PASSING.has(error.reason);

/** TRTC's number for a call that could not be taken up again. */
const REENTRY_FAILED = 5502;

const lost = (extraCode = 0) =>
  new RtcError(ERROR_CODE.OPERATION_FAILED, 'the connection to the server is lost', { extraCode, reason: 'lost' });

/**
 * @param {WebSocket} socket
 * @returns {Promise<void>}
 */
function opened(socket) {
  return new Promise((resolve, reject) => {
    const failed = () => {
      clearTimeout(timer);
      const error = new RtcError(ERROR_CODE.OPERATION_FAILED, 'the server cannot be reached', { reason: 'unreachable' });
      reject(error);
    };
    const timer = setTimeout(failed, OPEN_TIMEOUT_MS);
    socket.onopen = () => {
      clearTimeout(timer);
      resolve();
    };
    socket.onerror = failed;
    socket.onclose = failed;
  });
}
