// @ts-check
/**
 * The one order of a room's messages, as one member has it: what comes twice counts once, what comes early waits, and
 * what is missing is known. Knows no connection, no clock and no DOM.
 *
 * The server counts a group's messages 1, 2, 3 …; `epoch` names the group. A message that the server no longer has is
 * passed over, when the server has said so.
 *
 * @template {{seq: number}} Message
 */

/** Messages that wait behind a gap; beyond that they are told again, in their turn. */
const WAITING = 2_000;

/** @template {{seq: number}} Message */
export class Order {
  /** @type {number | null} which group this is; null: none */
  epoch = null;
  /** everything up to this number was handed out, or can never be had */
  last = 0;
  /** the highest number that we know to exist */
  #known = 0;
  /** @type {Map<number, Message>} behind a gap */
  #waiting = new Map();

  /** Whether there are messages that we do not have. */
  get missing() {
    return this.last < this.#known;
  }

  /**
   * A group, of which everything up to `last` is not ours to show.
   * @param {number | null} epoch
   * @param {number} last
   */
  begin(epoch, last) {
    this.epoch = epoch;
    this.last = this.#known = last;
    this.#waiting.clear();
  }

  /**
   * @param {number} seq exists, wherever it is
   */
  heardOf(seq) {
    this.#known = Math.max(this.#known, seq);
  }

  /**
   * @param {Message} message
   * @returns {Message[]} what is to be shown now, in order
   */
  take(message) {
    const { seq } = message;
    if (seq <= this.last) return [];
    this.heardOf(seq);
    if (seq === this.last + 1 || this.#waiting.size < WAITING) this.#waiting.set(seq, message);
    return this.skip(this.last);
  }

  /**
   * Up to `covered` the server has told all that there is: what is missing there is gone for good.
   * @param {number} covered
   * @returns {Message[]} what is to be shown now, in order
   */
  skip(covered) {
    const ready = [];
    for (;;) {
      const next = this.#waiting.get(this.last + 1);
      if (next) {
        this.#waiting.delete(next.seq);
        this.last = next.seq;
        ready.push(next);
      } else if (this.last < covered) {
        this.last = this.#before(covered);
      } else {
        return ready;
      }
    }
  }

  /**
   * Nobody will ever say what is missing: go on behind the gap.
   * @returns {Message[]} what is to be shown now, in order
   */
  giveUp() {
    return this.skip(this.#before(this.#known));
  }

  /**
   * @param {number} covered
   * @returns {number} the number before the next one that we have, at most `covered`: thousands may be gone at once
   */
  #before(covered) {
    let next = covered + 1;
    for (const seq of this.#waiting.keys()) if (seq > this.last && seq < next) next = seq;
    return next - 1;
  }
}
