/**
 * The `/im` client: one line to the gateway that carries a room's member list, its messages and what happens to the
 * user. Messages come in the room's own order, each once, however often the line breaks; what is sent goes out again
 * after a break with the same random number, so that the others see it once.
 */

const { Line, LOST, STATUS } = require('./line.js');
const msg = require('./msg.js');
const { Order } = require('./order.js');

/** A gap may close by itself; after so long we ask for what is missing. */
const GAP_MS = 1000;
const HISTORY_COUNT = 100;
/** A message that could not be sent for so long has failed. */
const SEND_MS = 60000;
const MOST_WAITING = 200;

/**
 * @typedef {import('./line.js').Frame} Frame
 * @typedef {import('./line.js').Refusal} Refusal
 * @typedef {import('./msg.js').BodyElement} BodyElement
 * @typedef {import('./msg.js').Entry} Entry
 * @typedef {{ sdkAppID?: number | string, userID: string, userSig: string, roomID?: number | string,
 *   privateMapKey?: string, nickName?: string }} Login
 * @typedef {{ seq: number, time: number, random: number }} Sent `time` in unix ms, of the server
 * @typedef {{
 *   login: (again: boolean) => void,
 *   refused: (refusal: Refusal) => void,
 *   status: (status: number) => void,
 *   userlist: (list: { userid: string, playurl: string }[]) => void,
 *   messages: (entries: Entry[]) => void,
 *   c2c: (entries: Entry[]) => void,
 *   event: (tag: string, code: number | string, detail: any) => void,
 *   kicked: (reason: string) => void,
 * }} Handlers `messages` gets the group's, oldest first
 */

class Im {
  /**
   * @param {string} server origin of the gateway, http(s)://name[:port]
   * @param {() => Login} login asked for at each login, since tickets may be renewed meanwhile
   * @param {Partial<Handlers>} handlers
   */
  constructor(server, login, handlers) {
    this._login = login;
    /** @type {Handlers} */
    this._on = Object.assign(
      {
        login: () => {},
        refused: () => {},
        status: () => {},
        userlist: () => {},
        messages: () => {},
        c2c: () => {},
        event: () => {},
        kicked: () => {},
      },
      handlers,
    );
    this._order = new Order();
    this._entered = false;
    this._asking = false;
    /** @type {{ frame: Frame, until: number, done: (error: Refusal | null, sent: Sent) => void }[]} */
    this._waiting = [];
    /** @type {any} */ this._gapTimer = null;
    this._sending = false;
    /** What waits was written in time, and waits because the line was down. */
    this._late = false;
    /** @type {any} */ this._sendTimer = null;
    /** @type {any} */ this._pauseTimer = null;
    this._line = new Line({
      url: `${server.replace(/^http/, 'ws')}/im`,
      greeting: () => this._greeting(),
      onLogin: (answer) => this._loggedIn(answer),
      onRefused: (refusal) => {
        this._giveUp(refusal);
        this._on.refused(refusal);
      },
      onFrame: (frame) => this._frame(frame),
      onStatus: (status) => this._on.status(status),
    });
  }

  get open() {
    return this._line.state === 'open';
  }

  /** Whether the server has ended it, by a refusal or a kick. */
  get over() {
    return this._line.state === 'closed';
  }

  start() {
    this._line.open();
  }

  /** @param {boolean} [leave] false: only this connection ends, the stay in the room goes on for 15 s */
  stop(leave = true) {
    this._line.close(leave);
    this._giveUp(LOST);
  }

  /** After a while in background: is the line still there? */
  check() {
    this._line.check();
  }

  /**
   * Send to the room, or with `to` to one user. Goes out now or when the line is back, for at most a minute.
   * @param {BodyElement[]} body
   * @param {string} to '' for the room
   * @param {(error: Refusal | null, sent: Sent) => void} done
   */
  send(body, to, done) {
    const random = Math.floor(Math.random() * 4294967296);
    const nothing = { seq: 0, time: 0, random };
    if (this._line.state === 'closed') {
      done({ code: -4, name: 'not_logged_in', message: 'not logged in' }, nothing);
    } else if (this._waiting.length >= MOST_WAITING) {
      done({ code: 1210, name: 'too_many', message: `${MOST_WAITING} messages wait to be sent` }, nothing);
    } else {
      const frame = Object.assign({ cmd: 'send', random, body }, to ? { to } : {});
      this._waiting.push({ frame, until: Date.now() + SEND_MS, done });
      if (!this.open) this._late = true;
      this._post();
      this._watch();
    }
  }

  /**
   * Ask for older messages of the room.
   * @param {{ before?: number, count?: number }} which
   * @param {(error: Refusal | null, answer: Frame) => void} done the answer has `messages`, oldest first
   */
  history(which, done) {
    this._line.ask(Object.assign({ cmd: 'history' }, which), done);
  }

  // --- what the line brings

  _greeting() {
    const { epoch, last } = this._order;
    return Object.assign({}, this._login(), epoch !== null && last !== null ? { epoch, lastSeq: last } : {});
  }

  /** @param {Frame} answer */
  _loggedIn(answer) {
    const again = this._entered;
    this._entered = true;
    this._order.entered(answer);
    this._mend();
    this._post();
    this._on.login(again);
  }

  /** @param {Frame} frame */
  _frame(frame) {
    switch (frame.cmd) {
      case 'userlist':
        this._on.userlist(Array.isArray(frame.userlist) ? frame.userlist : []);
        break;
      case 'message':
        if (Array.isArray(frame.messages)) this._show(this._order.add(frame.messages, frame.epoch));
        break;
      case 'c2c':
        if (Array.isArray(frame.messages)) this._on.c2c(frame.messages);
        break;
      case 'event':
        this._on.event(String(frame.tag), frame.code, frame.detail);
        break;
      case 'kicked':
        this._giveUp(LOST);
        this._on.kicked(String(frame.reason));
        break;
      default:
      // A newer server may say more than we know.
    }
  }

  /** @param {Entry[]} entries */
  _show(entries) {
    this._mend();
    if (entries.length) this._on.messages(entries);
  }

  /** See to it that what is missing comes, some time after it was noticed. */
  _mend() {
    if (!this._order.gap) {
      clearTimeout(this._gapTimer);
      this._gapTimer = null;
    } else if (this._gapTimer === null && !this._asking) {
      this._gapTimer = setTimeout(() => {
        this._gapTimer = null;
        this._fill();
      }, GAP_MS);
    }
  }

  _fill() {
    const { epoch, last } = this._order;
    if (!this._order.gap || !this.open || this._asking) return;
    this._asking = true;
    this._line.ask({ cmd: 'history', after: last, count: HISTORY_COUNT }, (error, answer) => {
      this._asking = false;
      if (error || epoch !== this._order.epoch) {
        if (error !== LOST) this._mend();
        return;
      }
      const ready = this._order.filled(/** @type {any} */ (answer));
      if (ready.length) this._on.messages(ready);
      if (ready.length && this._order.gap) this._fill();
      else this._mend();
    });
  }

  // --- what is sent

  /** Send what waits, one after the other: so the room sees them in the order in which they were written. */
  _post() {
    const item = this._waiting[0];
    if (!item || this._sending || !this.open) return;
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
          this._post();
        }, pause);
        // What waited for the line was written in time: it only waits a little longer.
        if (this._late && this._waiting[0] === item) return;
      }
      const sent = { seq: Number(answer.seq) || 0, time: Number(answer.time) || 0, random: item.frame.random };
      this._finish(item, error, sent);
      this._post();
    });
  }

  /**
   * @param {any} item
   * @param {Refusal | null} error
   * @param {Sent} sent
   */
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
    clearTimeout(this._sendTimer);
    if (!this._waiting.length) return;
    this._sendTimer = setTimeout(() => {
      const late = this._waiting.filter((item) => item.until <= Date.now());
      late.forEach((item) => this._fail(item, { code: -2, name: 'timeout', message: 'not sent for a minute' }));
      this._watch();
    }, Math.max(0, this._waiting[0].until - Date.now()) + 1);
  }

  /** @param {any} item @param {Refusal} error */
  _fail(item, error) {
    this._finish(item, error, { seq: 0, time: 0, random: item.frame.random });
  }

  /** @param {Refusal} error */
  _giveUp(error) {
    clearTimeout(this._gapTimer);
    this._gapTimer = null;
    clearTimeout(this._pauseTimer);
    this._sending = this._late = false;
    this._waiting.splice(0).forEach((item) => item.done(error, { seq: 0, time: 0, random: item.frame.random }));
    clearTimeout(this._sendTimer);
  }
}

module.exports = Object.assign({ Im, STATUS }, msg);
