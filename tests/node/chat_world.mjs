// A server and its connections in bad weather, for chat.test.mjs: as docs/protocol.md says, but nothing is certain.

import { Chat } from '../../static/sdk/chat.js';
import { ERROR_CODE, RtcError, serverError } from '../../static/sdk/errors.js';

export const text = (words) => [{ MsgType: 'TIMTextElem', MsgContent: { Text: words } }];

export const lost = () => new RtcError(ERROR_CODE.OPERATION_FAILED, 'lost', { reason: 'lost' });

/** Seeded chance (mulberry32), and what it did. */
export class Weather {
  seen = { lost: 0, doubled: 0, turned: 0, reconnects: 0, resent: 0 };

  constructor(seed) {
    this.state = seed >>> 0;
  }

  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  upTo = (limit) => Math.floor(this.next() * limit);
  chance = (part) => this.next() < part;
}

/** One room's group, and who is in it. */
export class Server {
  constructor(weather, { kept }) {
    this.weather = weather;
    this.kept = kept;
    this.epoch = 1000;
    this.links = new Set();
    this.restart(true);
  }

  /** The room was closed and opened again: another group. */
  restart(first = false) {
    this.epoch += 1;
    this.group = { epoch: this.epoch, seq: 0, messages: [], answers: new Map() };
    if (!first) for (const link of [...this.links]) link.lose({ channelToo: true });
  }

  get first() {
    return this.group.messages[0]?.seq ?? this.group.seq + 1;
  }

  answer(link, { t, random, body, after, before, count = 50 }) {
    const { group } = this;
    if (t === 'message') {
      const key = `${link.userId} ${random}`;
      const known = group.answers.get(key);
      if (known) {
        this.weather.seen.resent += 1;
        return known;
      }
      const seq = ++group.seq;
      const frame = { t: 'message', seq, time: seq * 10, from: link.userId, nick: link.userId, random, body };
      group.messages.push(frame);
      if (group.messages.length > this.kept) group.messages.shift();
      group.answers.set(key, { seq, time: frame.time });
      for (const other of this.links) other.announce(frame);
      return { seq, time: frame.time };
    }
    if (t === 'history') {
      const all = group.messages;
      let messages = all.slice(-count);
      if (after !== undefined) messages = all.filter(({ seq }) => seq > after).slice(0, count);
      else if (before !== undefined) messages = all.filter(({ seq }) => seq < before).slice(-count);
      return { epoch: group.epoch, seq: group.seq, first: this.first, messages };
    }
    throw serverError({ code: 1208, name: 'bad_request', message: t });
  }

  chatOf({ epoch, seq } = {}) {
    const { group } = this;
    const messages =
      epoch === group.epoch
        ? group.messages.filter((message) => message.seq > seq).slice(0, 500)
        : group.messages.slice(-50);
    return { epoch: group.epoch, seq: group.seq, first: this.first, messages };
  }
}

/** One way of ordered frames: each takes its time, none overtakes another; all that is under way can be lost at once. */
class Way {
  #weather;
  #due = 0;
  #now = 0;
  #under = new Set();

  constructor(weather, slowest) {
    this.#weather = weather;
    this.slowest = slowest;
  }

  carry(deliver) {
    const at = Math.max(this.#due, this.#weather.upTo(this.slowest));
    this.#due = at;
    const parcel = {
      timer: setTimeout(() => {
        this.#under.delete(parcel);
        this.#due = Math.max(0, this.#due - at);
        deliver();
      }, at),
    };
    this.#under.add(parcel);
  }

  drop() {
    const count = this.#under.size;
    for (const { timer } of this.#under) clearTimeout(timer);
    this.#under.clear();
    this.#due = 0;
    return count;
  }
}

class SimulatedChannel extends EventTarget {
  readyState = 'connecting';
  send(data) {
    this.link.channelUp.carry(() => this.link.fromChannel(this, data));
  }
}

/** A member with its library, its WebSocket and its datachannel. */
export class Link {
  resets = 0;
  shown = [];
  open = false;
  channel = null;
  #pending = new Set();
  #newest = 0;

  constructor(server, weather, userId, { trouble }) {
    Object.assign(this, { server, weather, userId, trouble });
    this.up = new Way(weather, 60);
    this.down = new Way(weather, 120);
    this.channelUp = new Way(weather, 40);
    this.channelDown = new Way(weather, 40);
    this.chat = new Chat({
      request: (type, fields) => this.request(type, fields),
      emit: (event, detail) => this.heard(event, detail),
      isIn: () => true,
      userId: () => userId,
    });
  }

  heard(event, { message }) {
    if (event === 'history-reset') {
      this.resets += 1;
      this.shown = [];
      this.#newest = 0;
    } else if (event === 'message-received') {
      this.shown.push(message);
    }
  }

  connect() {
    const fields = this.chat.enterFields();
    setTimeout(() => {
      this.open = true;
      this.server.links.add(this);
      const entered = { chat: structuredClone(this.server.chatOf(fields)) };
      this.down.carry(() => {
        this.chat.entered(entered, fields !== undefined);
        if (!this.channel) setTimeout(() => this.openChannel(), 20 + this.weather.upTo(100));
      });
    }, this.weather.upTo(300));
  }

  openChannel() {
    if (!this.open || this.channel) return;
    this.channel = Object.assign(new SimulatedChannel(), { link: this, dead: false });
    this.chat.channel(this.channel);
    const { channel } = this;
    setTimeout(() => {
      if (channel !== this.channel) return;
      channel.readyState = 'open';
      channel.dispatchEvent(new Event('open'));
    }, this.weather.upTo(80));
  }

  request(type, fields) {
    if (!this.open) return Promise.reject(lost());
    return new Promise((resolve, reject) => {
      const waiting = { reject };
      this.#pending.add(waiting);
      const settle = (act, value) => {
        if (this.#pending.delete(waiting)) act(value);
      };
      this.up.carry(() => {
        try {
          const reply = structuredClone(this.server.answer(this, { t: type, ...fields }));
          this.down.carry(() => settle(resolve, reply));
        } catch (error) {
          this.down.carry(() => settle(reject, error));
        }
      });
    });
  }

  fromChannel(channel, data) {
    if (channel !== this.channel || channel.dead) return;
    const { id, ...request } = JSON.parse(data);
    const reply = this.server.answer(this, request);
    this.overChannel({ re: id, ok: true, ...reply });
  }

  overChannel(frame) {
    const { channel } = this;
    const data = JSON.stringify(frame);
    this.channelDown.carry(() => {
      if (channel !== this.channel || channel.dead) this.weather.seen.lost += 1;
      else channel.dispatchEvent(Object.assign(new Event('message'), { data }));
    });
  }

  /** The server tells by either way; now and then by both. */
  announce(frame) {
    const copy = structuredClone(frame);
    const both = this.weather.chance(0.1 * this.trouble);
    const channel = this.channel?.readyState === 'open' && this.weather.chance(0.8);
    if (both) this.weather.seen.doubled += 1;
    if (channel) this.overChannel(copy);
    if (!channel || both) this.down.carry(() => this.arrived(copy));
  }

  arrived(frame) {
    if (frame.seq < this.#newest) this.weather.seen.turned += 1;
    this.#newest = Math.max(this.#newest, frame.seq);
    if (this.shown.length && frame.seq !== this.shown.at(-1).seq + 1) this.weather.seen.turned += 1;
    this.chat.message(frame);
  }

  /** Something may happen to the connections. */
  disturb() {
    const { weather } = this;
    if (weather.chance(0.02 * this.trouble)) this.lose({ channelToo: weather.chance(0.5) });
    if (weather.chance(0.02 * this.trouble)) this.killChannel();
  }

  /** The WebSocket goes, with all that is under way; perhaps the server keeps telling a while. */
  lose({ channelToo }) {
    if (!this.open) return;
    this.weather.seen.reconnects += 1;
    this.weather.seen.lost += this.up.drop() + this.down.drop();
    this.open = false;
    this.server.links.delete(this);
    for (const waiting of [...this.#pending]) waiting.reject(lost());
    this.#pending.clear();
    if (channelToo) this.closeChannel();
    setTimeout(() => this.connect(), 100 + this.weather.upTo(1500));
  }

  /** The path is dead before anybody knows. */
  killChannel() {
    const { channel } = this;
    if (channel?.readyState !== 'open') return;
    channel.dead = true;
    this.channelUp.drop();
    this.weather.seen.lost += this.channelDown.drop();
    setTimeout(() => {
      if (channel === this.channel) this.closeChannel();
    }, 500 + this.weather.upTo(2000));
  }

  closeChannel() {
    const { channel } = this;
    if (!channel) return;
    this.channel = null;
    this.channelUp.drop();
    this.weather.seen.lost += this.channelDown.drop();
    channel.readyState = 'closed';
    channel.dispatchEvent(new Event('close'));
    if (this.weather.chance(0.5)) this.chat.channel(null);
    if (this.open) setTimeout(() => this.openChannel(), 100);
  }

  calm() {
    this.trouble = 0;
  }
}
