/**
 * The one order of a group's messages, as one member keeps it: what arrives twice is shown once, what arrives early
 * waits, and what is missing is known, so that it can be asked for. Nothing here knows a socket or a clock.
 *
 * The server counts a group's messages 1, 2, 3 … (`MsgSeq`). `epoch` names the group; another epoch means that the room
 * was closed and opened again: then the numbers begin anew.
 */

/** More than so many early messages are not kept: they are asked for again, in their turn. */
const MOST_HELD = 1000;

/** @typedef {Record<string, any>} Entry */

class Order {
  constructor() {
    /** @type {number | null} */
    this.epoch = null;
    /** @type {number | null} the last message that was handed out; null: the next one that comes is the first */
    this.last = null;
    this._target = 0;
    /** @type {Map<number, Entry>} */
    this._held = new Map();
  }

  /** Whether messages are missing that the server has, or had. */
  get gap() {
    return this.last !== null && (this._held.size > 0 || this._target > this.last);
  }

  /**
   * What a login said about the group: its newest message, and the oldest that is still kept.
   * @param {{ epoch?: number, seq?: number, first?: number }} group
   */
  entered(group) {
    if (typeof group.epoch !== 'number' || typeof group.seq !== 'number') return;
    this._epoch(group.epoch);
    this._target = group.seq;
    const first = typeof group.first === 'number' ? group.first : 1;
    if (this.last === null && (group.seq === 0 || first > group.seq)) this.last = group.seq;
  }

  /**
   * Begin behind the newest message: what was said before is not asked for.
   * @param {{ epoch?: number, seq?: number }} group
   */
  begin(group) {
    if (typeof group.epoch !== 'number' || typeof group.seq !== 'number') return;
    this._epoch(group.epoch);
    this.last = this._target = group.seq;
  }

  /**
   * @param {Entry[]} entries in any order
   * @param {number} [epoch] whose they are; absent: of the group that is known
   * @returns {Entry[]} those that are to be shown now, oldest first
   */
  add(entries, epoch) {
    if (typeof epoch === 'number') this._epoch(epoch);
    const numbers = entries.map((entry) => Number(entry.MsgSeq)).filter((seq) => seq > 0);
    if (!numbers.length) return [];
    if (this.last === null) this.last = Math.min.apply(null, numbers) - 1;
    this._target = Math.max(this._target, Math.max.apply(null, numbers));
    for (const entry of entries) {
      const seq = Number(entry.MsgSeq);
      if (seq > this.last && (seq === this.last + 1 || this._held.size < MOST_HELD)) this._held.set(seq, entry);
    }
    return this._ready();
  }

  /**
   * The answer to the question for what comes after `last`.
   * @param {{ epoch?: number, seq?: number, first?: number, messages?: Entry[] }} history
   */
  filled(history) {
    const entries = history.messages || [];
    if (typeof history.epoch === 'number') this._epoch(history.epoch);
    if (this.last === null) return this.add(entries);
    // What the server does not keep any more will never come: go on behind it.
    const first = typeof history.first === 'number' ? history.first : 1;
    if (first > this.last + 1) this.last = first - 1;
    const next = (entries.length ? entries.map((entry) => Number(entry.MsgSeq)) : Array.from(this._held.keys()))
      .filter((seq) => seq > /** @type {number} */ (this.last));
    if (next.length) this.last = Math.min.apply(null, next) - 1;
    else if (!entries.length) this.last = Math.max(this.last, this._target);
    Array.from(this._held.keys()).forEach((seq) => {
      if (seq <= /** @type {number} */ (this.last)) this._held.delete(seq);
    });
    return entries.length ? this.add(entries) : this._ready();
  }

  _ready() {
    const ready = [];
    let last = /** @type {number} */ (this.last);
    for (;;) {
      const entry = this._held.get(last + 1);
      if (!entry) break;
      this._held.delete(last + 1);
      ready.push(entry);
      last += 1;
    }
    this.last = last;
    return ready;
  }

  /** @param {number} epoch */
  _epoch(epoch) {
    if (epoch === this.epoch) return;
    this.epoch = epoch;
    this.last = null;
    this._target = 0;
    this._held.clear();
  }
}

module.exports = { Order };
