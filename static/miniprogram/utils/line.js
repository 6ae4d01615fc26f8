/**
 * One line to the gateway's `/im`: a WebSocket that logs in, notices when it is dead, and comes back by itself.
 *
 * Frames are those of docs/protocol.md 2. A phone loses sockets silently (a lift, Wi-Fi to 4G, a page in background),
 * so the line asks for an answer when it has heard nothing for a while, and connects anew with growing pauses. It ends
 * for good in three ways only: `close()`, the server's `kicked`, or a login that the server refuses.
 */

/**
 * @typedef {Record<string, any>} Frame
 * @typedef {{ code: number, name: string, message: string, retryAfterMs?: number }} Refusal
 * @typedef {{
 *   url: string,
 *   greeting: () => Frame,
 *   onLogin: (answer: Frame) => void,
 *   onRefused: (refusal: Refusal) => void,
 *   onFrame: (frame: Frame) => void,
 *   onStatus: (status: number) => void,
 * }} LineOptions `greeting` gives the fields of each login
 */

/** What pages know as the state of the connection; each is told when it begins. */
const STATUS = { ON: 0, RECONNECT: 1, OFF: 9999 };

const PAUSES_MS = [200, 500, 1000, 2000, 4000, 8000, 10000];
/** From the call of connectSocket to the answer to the login. */
const CONNECT_MS = 8000;
const QUIET_MS = 5000;
const ANSWER_MS = 5000;
/** Without a line for so long, pages are told that we are off. Shorter losses are nobody's business. */
const OFF_MS = 3000;
/** Refusals of a login that may be different in a moment: no room, no time, too often. */
const PASSING = ['overloaded', 'unavailable', 'shutting_down', 'too_many', 'cluster_unreachable'];

/** @type {Refusal} */
const LOST = { code: -2, name: 'lost', message: 'the connection is lost' };

class Line {
  /** @param {LineOptions} options */
  constructor(options) {
    this._options = options;
    /** @type {'closed' | 'waiting' | 'connecting' | 'open'} */
    this.state = 'closed';
    /** @type {WechatMiniprogram.SocketTask | null} */
    this._task = null;
    this._nextId = 1;
    /** @type {Map<number, (error: Refusal | null, answer: Frame) => void>} */
    this._asked = new Map();
    this._failures = 0;
    this._everOpen = false;
    this._saidOff = false;
    /** @type {any} */ this._timer = null;
    /** @type {any} */ this._offTimer = null;
    this._onNetwork = (/** @type {any} */ network) => {
      if (network.isConnected) this.check();
    };
  }

  open() {
    if (this.state !== 'closed') return;
    this._failures = 0;
    this._everOpen = this._saidOff = false;
    if (wx.onNetworkStatusChange) wx.onNetworkStatusChange(this._onNetwork);
    this._connect();
  }

  /** End the line. With `leave` the server is told that the user leaves the room, else the stay goes on for a while. */
  close(leave = true) {
    if (this.state === 'closed') return;
    const task = this.state === 'open' && leave ? this._task : null;
    if (task) task.send({ data: JSON.stringify({ cmd: 'logout', id: this._nextId++ }) });
    this._end();
  }

  /**
   * Ask the server something; `done` is called once, with what it refused or with its answer.
   * @param {Frame} frame without an id
   * @param {(error: Refusal | null, answer: Frame) => void} [done]
   */
  ask(frame, done = () => {}) {
    if (this.state !== 'open' || !this._task) {
      done(LOST, {});
      return;
    }
    this._send(frame, done);
  }

  /** The phone woke up, or changed networks: is the line alive? If there is none, connect at once. */
  check() {
    if (this.state === 'waiting') this._connect();
    else if (this.state === 'open') this._ping();
  }

  // --- one connection

  _connect() {
    clearTimeout(this._timer);
    this.state = 'connecting';
    this._timer = setTimeout(() => this._lost(), CONNECT_MS);
    /** @type {WechatMiniprogram.SocketTask} */
    let task;
    const mine = (/** @type {(event: any) => void} */ handle) => (/** @type {any} */ event) => {
      if (task && task === this._task) handle(event);
    };
    task = wx.connectSocket({ url: this._options.url, fail: mine(() => this._lost()) });
    this._task = task;
    task.onOpen(mine(() => this._login()));
    task.onMessage(mine((event) => this._receive(event.data)));
    task.onError(mine(() => this._lost()));
    task.onClose(mine(() => this._lost()));
  }

  _login() {
    const greeting = Object.assign({ cmd: 'login' }, this._options.greeting());
    this._send(greeting, (error, answer) => {
      if (!error) {
        this._opened(answer);
      } else if (error !== LOST) {
        if (error.retryAfterMs || PASSING.indexOf(error.name) >= 0) {
          this._lost(error.retryAfterMs);
        } else {
          this._end();
          this._options.onRefused(error);
        }
      }
    });
  }

  /** @param {Frame} answer */
  _opened(answer) {
    this.state = 'open';
    this._failures = 0;
    clearTimeout(this._offTimer);
    this._offTimer = null;
    this._listen();
    this._options.onLogin(answer);
    if (!this._everOpen) this._options.onStatus(STATUS.ON);
    else if (this._saidOff) this._options.onStatus(STATUS.RECONNECT);
    this._everOpen = true;
    this._saidOff = false;
  }

  /**
   * @param {Frame} frame
   * @param {(error: Refusal | null, answer: Frame) => void} done
   */
  _send(frame, done) {
    const id = this._nextId++;
    this._asked.set(id, done);
    const task = this._task;
    if (!task) return;
    task.send({
      data: JSON.stringify(Object.assign({}, frame, { id })),
      fail: () => {
        if (task === this._task) this._lost();
      },
    });
  }

  /** @param {string | ArrayBuffer} data */
  _receive(data) {
    /** @type {Frame} */
    let frame;
    try {
      frame = JSON.parse(String(data));
    } catch (error) {
      return;
    }
    if (!frame || typeof frame !== 'object') return;
    if (this.state === 'open') this._listen();
    if ('re' in frame) {
      const done = this._asked.get(frame.re);
      this._asked.delete(frame.re);
      if (done) done(frame.code ? /** @type {Refusal} */ (frame) : null, frame);
      return;
    }
    if (frame.cmd === 'kicked') this._end();
    this._options.onFrame(frame);
  }

  /** Something was heard just now. The next sign of life has to come within a while, by itself or when asked for. */
  _listen() {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._ping(), QUIET_MS);
  }

  _ping() {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._lost(), ANSWER_MS);
    this.ask({ cmd: 'ping' });
  }

  /** @param {number} [pause] ms, if the server has named one */
  _lost(pause) {
    if (this.state === 'closed') return;
    this._drop();
    if (this._is('closed')) return; // whoever had asked something has closed the line
    this.state = 'waiting';
    const usual = PAUSES_MS[Math.min(this._failures, PAUSES_MS.length - 1)] * (0.75 + Math.random() / 2);
    this._failures += 1;
    this._timer = setTimeout(() => this._connect(), Math.max(usual, pause || 0));
    if (this._everOpen && !this._saidOff && this._offTimer === null) {
      this._offTimer = setTimeout(() => {
        this._offTimer = null;
        this._saidOff = true;
        this._options.onStatus(STATUS.OFF);
      }, OFF_MS);
    }
  }

  /** @param {Line['state']} state what may have become of it meanwhile */
  _is(state) {
    return this.state === state;
  }

  _end() {
    this.state = 'closed';
    clearTimeout(this._offTimer);
    this._offTimer = null;
    if (wx.offNetworkStatusChange) wx.offNetworkStatusChange(this._onNetwork);
    this._drop();
  }

  /** Let go of the socket, and of the questions whose answers would have come by it. */
  _drop() {
    clearTimeout(this._timer);
    const task = this._task;
    const asked = this._asked;
    this._task = null;
    this._asked = new Map();
    if (task) task.close({});
    asked.forEach((done) => done(LOST, {}));
  }
}

module.exports = { LOST, Line, STATUS };
