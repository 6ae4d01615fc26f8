// @ts-check
/**
 * The messages of a room as one member has them: in the order that the server gave them, each once, none missing.
 *
 * Announcements come over two ways, the WebSocket and the datachannel, whose order to each other is not given; either
 * may be lost with what was under way. So the sequence number decides: a message is shown when all before it are, and
 * what is missing is asked for by `history` (docs/protocol.md 1). A message that the server no longer has holds up
 * nobody. Knows no DOM.
 */

import { ERROR_CODE, RtcError, invalid, isLost, serverError } from './errors.js';

/**
 * @typedef {Record<string, any>} Frame
 * @typedef {{MsgType: string, MsgContent: Record<string, any>}} Element one part of a message, as the IM writes it
 * @typedef {{
 *   seq: number, time: number, userId: string, nick: string, random: number, body: Element[], text: string, own: boolean,
 * }} ChatMessage `time` in unix ms; `text` is what a person reads, "" if there is nothing to read
 * @typedef {{
 *   request: (type: string, fields: Frame) => Promise<Frame>,
 *   emit: (event: string, detail: any) => void,
 *   isIn: () => boolean,
 *   userId: () => string,
 * }} Room `request` goes over the WebSocket, and rejects with the reason "lost" while there is none
 * @typedef {{
 *   fields: Frame, bytes: number, refused: number, settled: boolean, timer: any,
 *   resolve: (message: ChatMessage) => void, reject: (error: RtcError) => void,
 * }} Outgoing
 */

const KEPT = 2_000;
const WAITING = 2_000;
const QUEUE = 200;
const PAGE = 100;
const SHOWN_AT_FIRST = 50;
const GAP_MS = 1_000;
const SEND_MS = 60_000;
const ECHO_MS = 3_000;
const CHANNEL_ANSWER_MS = 5_000;
const CHANNEL_BYTES = 16_000;
const GROUP_BYTES = 8_898;
const C2C_BYTES = 12_000;
const CUSTOM_BYTES = 1_024;
/** Refusals that may be different in a moment, and are nobody's fault. */
const PASSING = new Set(['unavailable', 'overloaded', 'shutting_down']);

export class Chat {
  #room;
  /** @type {number | null} which group this is; another number is another group that counts from 1 */
  #epoch = null;
  /** everything up to this number was shown, or can never be had */
  #last = 0;
  /** the highest number that we know to exist */
  #known = 0;
  /** @type {ChatMessage[]} */
  #messages = [];
  /** @type {Map<number, ChatMessage>} behind a gap */
  #waiting = new Map();
  /** grows when everything known so far is void, so that late answers are recognized */
  #generation = 0;
  /** @type {any} */
  #gapTimer = 0;
  #fetching = false;
  #fetchAgain = false;
  #refusals = 0;
  /** @type {Outgoing[]} */
  #queue = [];
  #sending = false;
  /** what is queued was said in time, and waits because the connection was lost */
  #late = false;
  /** @type {Set<() => void>} whoever waits for a way to the server */
  #wakers = new Set();
  /** @type {Map<number, (message: ChatMessage) => void>} own messages whose echo is waited for, by number */
  #echoes = new Map();
  /** @type {string[]} personal messages shown of late: the two ways may both bring one */
  #personal = [];
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** @type {Map<string, {resolve: (reply: Frame) => void, reject: (error: RtcError) => void, timer: any}>} */
  #pending = new Map();
  #nextId = 1;

  /** @param {Room} room */
  constructor(room) {
    this.#room = room;
  }

  /** The messages known so far, oldest first, at most 2,000. */
  messages() {
    return [...this.#messages];
  }

  // --- the room

  /**
   * @param {Frame} entered the server's `entered`
   * @param {boolean} _again after the connection was lost
   */
  entered(entered, _again) {
    const chat = entered.chat;
    if (chat && typeof chat.epoch === 'number') {
      const messages = list(chat.messages);
      if (chat.epoch !== this.#epoch) this.#begin(chat.epoch, (messages[0]?.seq ?? number(chat.seq) + 1) - 1);
      for (const message of messages) this.#take(message);
      this.#heardOf(number(chat.seq));
      // What was under way on the lost connection is told again by nobody.
      this.#fetch();
    }
    this.#wake();
  }

  /** @returns {{epoch: number, seq: number} | undefined} `chat` of an `enter` that comes back: what is here already */
  enterFields() {
    return this.#epoch === null ? undefined : { epoch: this.#epoch, seq: this.#last };
  }

  /** The room is over. What was said stays readable until the next one is entered. */
  left() {
    this.channel(null);
    this.#forget();
    this.#epoch = null;
    const error = new RtcError(ERROR_CODE.OPERATION_ABORT, 'the room was left before the message was sent', { reason: 'left' });
    for (const outgoing of this.#queue.splice(0)) this.#settle(outgoing, error);
    this.#wake();
  }

  /**
   * @param {Frame} message an announcement of the server
   * @returns {boolean} whether it was one of ours
   */
  message(message) {
    switch (message.t) {
      case 'message':
        if (this.#epoch !== null) this.#take(message);
        return true;
      case 'c2c':
        this.#takePersonal(message);
        return true;
      case 'custom':
        this.#takeCustom(message);
        return true;
      default:
        return false;
    }
  }

  // --- the datachannel

  /** @param {RTCDataChannel | null} channel the one of the living connection */
  channel(channel) {
    if (channel === this.#channel) return;
    this.#channel = channel;
    this.#failPending();
    if (this.#epoch !== null) this.#fetch();
    if (!channel) return;
    channel.addEventListener('open', () => {
      if (channel === this.#channel) this.#changedWays();
    });
    channel.addEventListener('close', () => {
      if (channel === this.#channel) this.#changedWays();
    });
    channel.addEventListener('message', ({ data }) => {
      if (channel === this.#channel && typeof data === 'string') this.#received(data);
    });
  }

  #changedWays() {
    if (this.#channel?.readyState !== 'open') this.#failPending();
    if (this.#epoch !== null) this.#fetch();
    this.#wake();
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
      this.message(frame);
      return;
    }
    const waiting = this.#pending.get(frame.re);
    if (!waiting) return;
    this.#pending.delete(frame.re);
    clearTimeout(waiting.timer);
    if (frame.error) waiting.reject(serverError(frame.error));
    else waiting.resolve(frame);
  }

  /**
   * @param {string} type
   * @param {Frame} fields
   * @returns {Promise<Frame>}
   */
  #ask(type, fields) {
    const channel = this.#channel;
    if (channel?.readyState !== 'open') return this.#room.request(type, fields);
    const id = `c${this.#nextId++}`;
    const text = JSON.stringify({ id, t: type, ...fields });
    if (utf8(text) > CHANNEL_BYTES) return this.#room.request(type, fields);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new RtcError(ERROR_CODE.OPERATION_FAILED, `the server did not answer ${type}`, { reason: 'timeout' }));
      }, CHANNEL_ANSWER_MS);
      this.#pending.set(id, { resolve, reject, timer });
      try {
        channel.send(text);
      } catch {
        this.#failPending();
      }
    });
  }

  #failPending() {
    for (const waiting of this.#pending.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(lost());
    }
    this.#pending.clear();
  }

  // --- receiving

  /**
   * Another group than before, of which everything up to `last` is not ours to show.
   * @param {number} epoch
   * @param {number} last
   */
  #begin(epoch, last) {
    const reset = this.#epoch !== null;
    this.#forget();
    this.#epoch = epoch;
    this.#last = this.#known = last;
    this.#messages = [];
    if (reset) this.#room.emit('history-reset', {});
  }

  #forget() {
    this.#generation += 1;
    clearTimeout(this.#gapTimer);
    this.#gapTimer = 0;
    this.#fetching = this.#fetchAgain = false;
    this.#refusals = 0;
    this.#waiting.clear();
    this.#echoes.clear();
  }

  /** @param {Frame} frame */
  #take(frame) {
    const seq = number(frame.seq);
    if (seq <= this.#last) return;
    this.#known = Math.max(this.#known, seq);
    // Beyond the bound it is told again by history, when its turn comes.
    if (seq === this.#last + 1 || this.#waiting.size < WAITING) this.#waiting.set(seq, this.#read(frame));
    this.#advance(this.#last);
  }

  /** @param {number} seq exists, wherever it is */
  #heardOf(seq) {
    this.#known = Math.max(this.#known, seq);
    this.#advance(this.#last);
  }

  /**
   * Show what is in order. Up to `covered` the server has told all that there is.
   * @param {number} covered
   */
  #advance(covered) {
    for (;;) {
      const next = this.#waiting.get(this.#last + 1);
      if (!next && this.#last >= covered) break;
      this.#last += 1;
      if (!next) {
        this.#last = this.#skipTo(covered);
        continue;
      }
      this.#waiting.delete(next.seq);
      this.#messages.push(next);
      if (this.#messages.length > KEPT) this.#messages.shift();
      const generation = this.#generation;
      this.#room.emit('message-received', { message: next });
      this.#echoes.get(next.seq)?.(next);
      if (generation !== this.#generation) return;
    }
    if (this.#last >= this.#known) {
      clearTimeout(this.#gapTimer);
      this.#gapTimer = 0;
    } else if (!this.#gapTimer && !this.#fetching) {
      this.#gapTimer = setTimeout(() => this.#fetch(), GAP_MS);
    }
  }

  /**
   * @param {number} covered
   * @returns {number} before the next one that we have, at most `covered`: thousands may be gone at once
   */
  #skipTo(covered) {
    let next = covered + 1;
    for (const seq of this.#waiting.keys()) if (seq > this.#last && seq < next) next = seq;
    return next - 1;
  }

  /** Ask for what is missing, until nothing is. */
  #fetch() {
    clearTimeout(this.#gapTimer);
    this.#gapTimer = 0;
    if (this.#fetching) {
      this.#fetchAgain = true;
      return;
    }
    this.#fetching = true;
    const generation = this.#generation;
    this.#fetchPages(generation).then(
      () => this.#fetched(generation),
      (error) => this.#notFetched(generation, error),
    );
  }

  /** @param {number} generation */
  async #fetchPages(generation) {
    for (;;) {
      this.#fetchAgain = false;
      const reply = await this.#room.request('history', { after: this.#last, count: PAGE });
      if (generation !== this.#generation) return;
      this.#refusals = 0;
      const seq = number(reply.seq);
      if (typeof reply.epoch === 'number' && reply.epoch !== this.#epoch) {
        this.#begin(reply.epoch, Math.max(0, seq - SHOWN_AT_FIRST));
        this.#heardOf(seq);
        this.#fetch();
        return;
      }
      const messages = list(reply.messages);
      for (const message of messages) this.#take(message);
      if (generation !== this.#generation) return;
      // Nothing was left out between what was asked for and the last of the answer: it is gone for good.
      this.#advance(messages.length ? number(messages.at(-1)?.seq) : seq);
      if (generation !== this.#generation) return;
      this.#known = Math.max(this.#known, seq);
      if (this.#last >= seq && !this.#fetchAgain) return;
    }
  }

  /** @param {number} generation */
  #fetched(generation) {
    if (generation !== this.#generation) return;
    this.#fetching = false;
    this.#advance(this.#last); // for a gap that came meanwhile
  }

  /**
   * @param {number} generation
   * @param {unknown} error
   */
  #notFetched(generation, error) {
    if (generation !== this.#generation) return;
    this.#fetching = false;
    if (isLost(error)) return; // the next `entered` asks again
    const wait = error instanceof RtcError ? error.retryAfterMs : 0;
    const passing = wait > 0 || (error instanceof RtcError && PASSING.has(error.reason));
    if (!passing && ++this.#refusals >= 3) {
      // This server tells no history: better with a hole than silent from here on.
      this.#refusals = 0;
      this.#advance(Math.min(...this.#waiting.keys(), this.#known + 1) - 1);
      return;
    }
    clearTimeout(this.#gapTimer);
    this.#gapTimer = setTimeout(() => this.#fetch(), Math.max(GAP_MS, wait));
  }

  /**
   * @param {Frame} frame
   * @returns {ChatMessage}
   */
  #read(frame) {
    const body = list(frame.body);
    const userId = String(frame.from ?? '');
    return {
      seq: number(frame.seq),
      time: number(frame.time),
      userId,
      nick: String(frame.nick ?? ''),
      random: number(frame.random),
      body: /** @type {Element[]} */ (body),
      text: textOf(body),
      own: userId === this.#room.userId(),
    };
  }

  /** @param {Frame} frame */
  #takePersonal(frame) {
    const message = { ...this.#read(frame), to: String(frame.to ?? '') };
    const key = [message.userId, message.to, message.random, message.seq].join(' ');
    if (this.#personal.includes(key)) return;
    this.#personal.push(key);
    if (this.#personal.length > QUEUE) this.#personal.shift();
    this.#room.emit('c2c-message', { message });
  }

  /** @param {Frame} frame */
  #takeCustom(frame) {
    let data;
    try {
      data = Uint8Array.from(atob(String(frame.data ?? '')), (letter) => letter.charCodeAt(0)).buffer;
    } catch {
      return;
    }
    this.#room.emit('custom-message', { userId: String(frame.from ?? ''), cmdId: number(frame.cmdId), seq: number(frame.seq), data });
  }

  // --- asking and sending

  /**
   * @param {{before?: number, count?: number}} [range] the newest `count` (1 to 100) with a number below `before`
   * @returns {Promise<{messages: ChatMessage[], more: boolean}>} oldest first; whether there are still older ones
   */
  async history({ before, count = SHOWN_AT_FIRST } = {}) {
    if (!this.#room.isIn()) throw notIn('getHistory');
    if (!Number.isInteger(count) || count < 1 || count > PAGE) throw invalid(`count: 1 to ${PAGE}`);
    const reply = await this.#room.request('history', before === undefined ? { count } : { before: Number(before), count });
    const messages = list(reply.messages).map((frame) => this.#read(frame));
    return { messages, more: messages.length > 0 && messages[0].seq > number(reply.first) };
  }

  /**
   * @param {string} text
   * @param {string} [to] one member instead of everybody
   * @returns {Promise<ChatMessage>}
   */
  async sendText(text, to) {
    if (typeof text !== 'string' || text === '') throw invalid('text: a text that is not empty is needed');
    return this.sendGroup([{ MsgType: 'TIMTextElem', MsgContent: { Text: text } }], to);
  }

  /**
   * One message is under way at a time, so that they arrive as they were sent; one that went down with a connection
   * goes again with the same random number, by which the server knows it.
   * @param {Element[]} body
   * @param {string} [to]
   * @returns {Promise<ChatMessage>} when the server has numbered it and, to the room, its echo stands in `messages()`
   */
  async sendGroup(body, to) {
    if (!this.#room.isIn()) throw notIn('sending a message');
    if (!Array.isArray(body) || body.length < 1 || body.length > 64) throw invalid('body: 1 to 64 elements are needed');
    const bytes = sizeOf(body);
    const limit = to ? C2C_BYTES : GROUP_BYTES;
    if (bytes > limit) throw tooLarge(bytes, limit);
    if (this.#queue.length >= QUEUE) throw tooMany();
    /** @type {Frame} */
    const fields = { random: crypto.getRandomValues(new Uint32Array(1))[0], body };
    if (to) fields.to = String(to);
    return new Promise((resolve, reject) => {
      /** @type {Outgoing} */
      const outgoing = { fields, bytes, refused: 0, settled: false, timer: 0, resolve, reject };
      outgoing.timer = setTimeout(() => this.#settle(outgoing, unsent()), SEND_MS);
      this.#queue.push(outgoing);
      void this.#send();
    });
  }

  /**
   * @param {number} cmdId 1..10
   * @param {ArrayBuffer | ArrayBufferView} data at most 1 KB
   * @returns {Promise<void>}
   */
  async custom(cmdId, data) {
    if (!this.#room.isIn()) throw notIn('sendCustomMessage');
    if (!Number.isInteger(cmdId) || cmdId < 1 || cmdId > 10) throw invalid('cmdId: 1 to 10');
    if (!(data instanceof ArrayBuffer) && !ArrayBuffer.isView(data)) throw invalid('data: an ArrayBuffer is needed');
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (bytes.length > CUSTOM_BYTES) throw tooLarge(bytes.length, CUSTOM_BYTES);
    await this.#ask('custom', { cmdId, data: btoa(String.fromCharCode(...bytes)) });
  }

  async #send() {
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
    const generation = this.#generation;
    try {
      const reply = await this.#ask('message', outgoing.fields);
      if (!outgoing.settled) this.#sent(outgoing, reply, generation);
    } catch (error) {
      if (outgoing.settled) return;
      const { reason, retryAfterMs } = /** @type {RtcError} */ (error);
      // A request can slip in before `enter` on a new connection; then it is refused once.
      const early = reason === 'bad_request' && ++outgoing.refused < 2;
      if (isLost(error)) this.#late = true;
      if (isLost(error) || PASSING.has(reason) || early) await this.#way(Math.max(GAP_MS, retryAfterMs ?? 0));
      else if (this.#late && reason === 'too_many') await this.#way(retryAfterMs || GAP_MS);
      else this.#settle(outgoing, /** @type {RtcError} */ (error));
    }
  }

  /**
   * @param {Outgoing} outgoing
   * @param {Frame} reply
   * @param {number} generation
   */
  #sent(outgoing, reply, generation) {
    const seq = number(reply.seq);
    const frame = { ...outgoing.fields, seq, time: reply.time, from: this.#room.userId() };
    outgoing.settled = true;
    clearTimeout(outgoing.timer);
    const known = this.#messages.findLast((message) => message.own && message.seq === seq);
    if (outgoing.fields.to || known || generation !== this.#generation) {
      outgoing.resolve(known && !outgoing.fields.to ? known : this.#read(frame));
      return;
    }
    const timer = setTimeout(() => echoed(this.#read(frame)), ECHO_MS);
    /** @param {ChatMessage} message */
    const echoed = (message) => {
      clearTimeout(timer);
      this.#echoes.delete(seq);
      outgoing.resolve(message);
    };
    this.#echoes.set(seq, echoed);
    this.#heardOf(seq);
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
    this.#wake();
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

  #wake() {
    for (const waker of [...this.#wakers]) waker();
  }
}

/**
 * What a person reads of a message: its text elements; or the custom element by which the demos of 2018 chat.
 * @param {Frame[]} body
 */
function textOf(body) {
  const texts = body.filter((element) => element.MsgType === 'TIMTextElem');
  if (texts.length) return texts.map((element) => String(element.MsgContent?.Text ?? '')).join('');
  const custom = body.find((element) => element.MsgType === 'TIMCustomElem' && element.MsgContent?.Ext === 'TEXT');
  return String(custom?.MsgContent?.Data ?? '');
}

/**
 * Bytes of a message as the server counts them.
 * @param {Element[]} body
 */
function sizeOf(body) {
  let bytes = 0;
  for (const { MsgType, MsgContent = {} } of body) {
    const { Text = '', Data = '', Desc = '', Ext = '' } = MsgContent;
    if (MsgType === 'TIMTextElem') bytes += utf8(String(Text));
    else if (MsgType === 'TIMCustomElem') bytes += utf8(String(Data) + String(Desc) + String(Ext));
    else bytes += utf8(JSON.stringify(MsgContent) ?? '');
  }
  return bytes;
}

const encoder = new TextEncoder();

/** @param {string} text */
const utf8 = (text) => encoder.encode(text).length;

/** @param {unknown} value @returns {Frame[]} */
const list = (value) => (Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : []);

/** @param {unknown} value */
const number = (value) => (Number.isFinite(value) ? Number(value) : 0);

const lost = () => new RtcError(ERROR_CODE.OPERATION_FAILED, 'the datachannel is closed', { reason: 'lost' });

const unsent = () =>
  new RtcError(ERROR_CODE.OPERATION_FAILED, 'the message could not be sent within a minute', { reason: 'timeout' });

/** @param {string} what */
const notIn = (what) =>
  new RtcError(ERROR_CODE.INVALID_OPERATION, `${what}: enter a room first`, { reason: 'not_in_room' });

/**
 * @param {number} bytes
 * @param {number} limit
 */
const tooLarge = (bytes, limit) =>
  serverError({ code: 1209, name: 'too_large', message: `the message has ${bytes} bytes, the limit is ${limit}` });

const tooMany = () =>
  serverError({ code: 1210, name: 'too_many', message: `${QUEUE} messages wait to be sent`, retryAfterMs: GAP_MS });
