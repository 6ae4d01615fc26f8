/**
 * What is to be sent and has not been answered: one message after the other, so that a room sees them in the order in
 * which they were written. After a break they go out again with the same random number, so that nobody sees one twice.
 */

const { LOST } = require('./line.js');

/** A message that could not be sent for so long has failed. */
const SEND_MS = 60000;
const MOST_WAITING = 200;

/**
 * @typedef {import('./line.js').Frame} Frame
 * @typedef {import('./line.js').Refusal} Refusal
 * @typedef {{ seq: number, time: number, random: number }} Sent `time` in unix ms, of the server
 * @typedef {(error: Refusal | null, sent: Sent) => void} Done
 * @typedef {{ frame: Frame, until: number, done: Done }} Item
 */

class Outbox {
  /**
   * @param {{ ready: (frame: Frame) => boolean, ask: (frame: Frame, done: (error: Refusal | null, answer: Frame) => void) => void }}
   *   line `ready`: whether that frame can go out now
   */
  constructor(line) {
    this._line = line;
    /** @type {Item[]} */
    this._waiting = [];
    this._sending = false;
    /** What waits was written in time, and waits because the line was down. */
    this._late = false;
    /** @type {any} */ this._failTimer = null;
    /** @type {any} */ this._pauseTimer = null;
  }

  /** @param {Frame} frame without its random number @param {Done} done */
  add(frame, done) {
    const random = Math.floor(Math.random() * 4294967296);
    if (this._waiting.length >= MOST_WAITING) {
      const error = { code: 1210, name: 'too_many', message: `${MOST_WAITING} messages wait to be sent` };
      done(error, { seq: 0, time: 0, random });
      return;
    }
    this._waiting.push({ frame: Object.assign({}, frame, { random }), until: Date.now() + SEND_MS, done });
    if (!this._line.ready(frame)) this._late = true;
    this.post();
    this._watch();
  }

  /** Send what waits, if it can be sent: the line is back, or an answer has come. */
  post() {
    const item = this._waiting[0];
    if (!item || this._sending || !this._line.ready(item.frame)) return;
    this._sending = true;
    this._line.ask(item.frame, (error, answer) => {
      this._sending = false;
      if (error === LOST) {
        this._late = true;
        return; // it goes out again after the next login
      }
      const pause = error && error.retryAfterMs;
      if (pause) {
        // Too fast: that one is refused, and the next shall not be for the same reason.
        this._sending = true;
        this._pauseTimer = setTimeout(() => {
          this._sending = false;
          this.post();
        }, pause);
        // What waited for the line was written in time: it only waits a little longer.
        if (this._late && this._waiting[0] === item) return;
      }
      const sent = { seq: Number(answer.seq) || 0, time: Number(answer.time) || 0, random: item.frame.random };
      this._finish(item, error, sent);
      this.post();
    });
  }

  /** What waits will not be sent: all, or what `which` chooses. @param {Refusal} error @param {(frame: Frame) => boolean} [which] */
  giveUp(error, which = () => true) {
    const [lost, kept] = [this._waiting.filter(({ frame }) => which(frame)), this._waiting.filter(({ frame }) => !which(frame))];
    this._waiting = kept;
    if (!kept.length) {
      clearTimeout(this._pauseTimer);
      this._sending = this._late = false;
    }
    this._watch();
    lost.forEach((item) => item.done(error, { seq: 0, time: 0, random: item.frame.random }));
  }

  /** @param {Item} item @param {Refusal | null} error @param {Sent} sent */
  _finish(item, error, sent) {
    const index = this._waiting.indexOf(item);
    if (index < 0) return;
    this._waiting.splice(index, 1);
    if (!this._waiting.length) this._late = false;
    this._watch();
    item.done(error, sent);
  }

  /** One timer, for whoever has waited longest. */
  _watch() {
    clearTimeout(this._failTimer);
    if (!this._waiting.length) return;
    this._failTimer = setTimeout(() => {
      const late = this._waiting.filter((item) => item.until <= Date.now());
      late.forEach((item) => {
        const error = { code: -2, name: 'timeout', message: 'not sent for a minute' };
        this._finish(item, error, { seq: 0, time: 0, random: item.frame.random });
      });
      this._watch();
    }, Math.max(0, this._waiting[0].until - Date.now()) + 1);
  }
}

module.exports = { Outbox };
