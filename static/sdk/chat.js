// @ts-check
/**
 * The messages of a room as one member has them: in the order that the server gave them, each once, none missing.
 *
 * Announcements come over two ways, the WebSocket and the datachannel, whose order to each other is not given; either
 * may be lost with what was under way. So the sequence number decides (chat-order.js), and what is missing is asked for
 * by `history` (docs/protocol.md 1). Knows no DOM.
 */

import { ChatChannel, utf8 } from './chat-channel.js';
import { Order } from './chat-order.js';
import { Outbox, isPassing } from './chat-outbox.js';
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
 */

const KEPT = 2_000;
const PERSONAL = 200;
const PAGE = 100;
const SHOWN_AT_FIRST = 50;
const GAP_MS = 1_000;
const ECHO_MS = 3_000;
const GROUP_BYTES = 8_898;
const C2C_BYTES = 12_000;
const CUSTOM_BYTES = 1_024;

export class Chat {
  #room;
  /** @type {Order<ChatMessage>} */
  #order = new Order();
  /** @type {ChatMessage[]} */
  #messages = [];
  /** grows when everything known so far is void, so that late answers are recognized */
  #generation = 0;
  /** @type {any} */
  #gapTimer = 0;
  #fetching = false;
  #fetchAgain = false;
  #refusals = 0;
  /** @type {Map<number, (message: ChatMessage) => void>} own messages whose echo is waited for, by number */
  #echoes = new Map();
  /** @type {string[]} personal messages shown of late: the two ways may both bring one */
  #personal = [];
  #channel = new ChatChannel({ changed: () => this.#changedWays(), frame: (frame) => this.message(frame) });
  #outbox = new Outbox((fields) => this.#ask('message', fields));

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
      if (chat.epoch !== this.#order.epoch) this.#begin(chat.epoch, (messages[0]?.seq ?? number(chat.seq) + 1) - 1);
      for (const message of messages) this.#take(message);
      this.#heardOf(number(chat.seq));
      // What was under way on the lost connection is told again by nobody.
      this.#fetch();
    }
    this.#outbox.wake();
  }

  /** @returns {{epoch: number, seq: number} | undefined} `chat` of an `enter` that comes back: what is here already */
  enterFields() {
    const { epoch, last } = this.#order;
    return epoch === null ? undefined : { epoch, seq: last };
  }

  /** The room is over. What was said stays readable until the next one is entered. */
  left() {
    this.channel(null);
    this.#forget();
    this.#order.begin(null, 0);
    this.#outbox.clear(
      new RtcError(ERROR_CODE.OPERATION_ABORT, 'the room was left before the message was sent', { reason: 'left' }),
    );
  }

  /**
   * @param {Frame} message an announcement of the server
   * @returns {boolean} whether it was one of ours
   */
  message(message) {
    switch (message.t) {
      case 'message':
        if (this.#order.epoch !== null) this.#take(message);
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

  /** @param {RTCDataChannel | null} channel the one of the living connection */
  channel(channel) {
    if (this.#channel.use(channel) && this.#order.epoch !== null) this.#fetch();
  }

  #changedWays() {
    if (this.#order.epoch !== null) this.#fetch();
    this.#outbox.wake();
  }

  /**
   * @param {string} type
   * @param {Frame} fields
   */
  #ask(type, fields) {
    return this.#channel.ask(type, fields) ?? this.#room.request(type, fields);
  }

  // --- receiving

  /**
   * Another group than before, of which everything up to `last` is not ours to show.
   * @param {number} epoch
   * @param {number} last
   */
  #begin(epoch, last) {
    const reset = this.#order.epoch !== null;
    this.#forget();
    this.#order.begin(epoch, last);
    this.#messages = [];
    if (reset) this.#room.emit('history-reset', {});
  }

  #forget() {
    this.#generation += 1;
    clearTimeout(this.#gapTimer);
    this.#gapTimer = 0;
    this.#fetching = this.#fetchAgain = false;
    this.#refusals = 0;
    this.#echoes.clear();
  }

  /** @param {Frame} frame */
  #take(frame) {
    if (number(frame.seq) > this.#order.last) this.#show(this.#order.take(this.#read(frame)));
  }

  /** @param {number} seq exists, wherever it is */
  #heardOf(seq) {
    this.#order.heardOf(seq);
    this.#show([]);
  }

  /** @param {ChatMessage[]} ready in order */
  #show(ready) {
    const generation = this.#generation;
    for (const message of ready) {
      this.#messages.push(message);
      if (this.#messages.length > KEPT) this.#messages.shift();
      this.#room.emit('message-received', { message });
      this.#echoes.get(message.seq)?.(message);
      if (generation !== this.#generation) return; // whoever heard it has left
    }
    if (!this.#order.missing) {
      clearTimeout(this.#gapTimer);
      this.#gapTimer = 0;
    } else if (!this.#gapTimer && !this.#fetching) {
      this.#gapTimer = setTimeout(() => this.#fetch(), GAP_MS);
    }
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
      const reply = await this.#room.request('history', { after: this.#order.last, count: PAGE });
      if (generation !== this.#generation) return;
      this.#refusals = 0;
      const seq = number(reply.seq);
      if (typeof reply.epoch === 'number' && reply.epoch !== this.#order.epoch) {
        this.#begin(reply.epoch, Math.max(0, seq - SHOWN_AT_FIRST));
        this.#heardOf(seq);
        this.#fetch();
        return;
      }
      const messages = list(reply.messages);
      for (const message of messages) this.#take(message);
      if (generation !== this.#generation) return;
      // Nothing was left out between what was asked for and the last of the answer: it is gone for good.
      this.#order.heardOf(seq);
      this.#show(this.#order.skip(messages.length ? number(messages.at(-1)?.seq) : seq));
      if (generation !== this.#generation) return;
      if (this.#order.last >= seq && !this.#fetchAgain) return;
    }
  }

  /** @param {number} generation */
  #fetched(generation) {
    if (generation !== this.#generation) return;
    this.#fetching = false;
    this.#show([]); // for a gap that came meanwhile
  }

  /**
   * @param {number} generation
   * @param {unknown} error
   */
  #notFetched(generation, error) {
    if (generation !== this.#generation) return;
    this.#fetching = false;
    if (isLost(error)) return; // the next `entered` asks again
    if (!isPassing(error) && ++this.#refusals >= 3) {
      // This server tells no history: better with a hole than silent from here on.
      this.#refusals = 0;
      this.#show(this.#order.giveUp());
      return;
    }
    const wait = error instanceof RtcError ? error.retryAfterMs : 0;
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
    if (this.#personal.length > PERSONAL) this.#personal.shift();
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
    /** @type {Frame} */
    const fields = { random: crypto.getRandomValues(new Uint32Array(1))[0], body };
    if (to) fields.to = String(to);
    const generation = this.#generation;
    const reply = await this.#outbox.send(fields);
    const sent = this.#read({ ...fields, seq: reply.seq, time: reply.time, from: this.#room.userId() });
    return to || generation !== this.#generation ? sent : this.#echo(sent);
  }

  /**
   * Wait for the echo of an own message, but not for ever.
   * @param {ChatMessage} sent
   * @returns {Promise<ChatMessage>}
   */
  #echo(sent) {
    const { seq } = sent;
    const known = this.#messages.findLast((message) => message.own && message.seq === seq);
    if (known) return Promise.resolve(known);
    return new Promise((resolve) => {
      const done = (/** @type {ChatMessage} */ message) => {
        clearTimeout(timer);
        this.#echoes.delete(seq);
        resolve(message);
      };
      const timer = setTimeout(() => done(sent), ECHO_MS);
      this.#echoes.set(seq, done);
      this.#heardOf(seq);
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

/** @param {unknown} value @returns {Frame[]} */
const list = (value) => (Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : []);

/** @param {unknown} value */
const number = (value) => (Number.isFinite(value) ? Number(value) : 0);

/** @param {string} what */
const notIn = (what) =>
  new RtcError(ERROR_CODE.INVALID_OPERATION, `${what}: enter a room first`, { reason: 'not_in_room' });

/**
 * @param {number} bytes
 * @param {number} limit
 */
const tooLarge = (bytes, limit) =>
  serverError({ code: 1209, name: 'too_large', message: `the message has ${bytes} bytes, the limit is ${limit}` });
