/**
 * The `/im` client: one line to the gateway that carries a room's member list, its messages and what happens to the
 * user. Messages come in the room's own order, each once, however often the line breaks; what is sent goes out again
 * after a break (outbox.js).
 *
 * A login with a room makes the user a member of it, until `stop()`. A login without one is for the rooms of
 * RoomService, whose members come and go by other calls: it may `join` one group at a time, and joins it again by
 * itself after a break.
 */

const { Line, LOST, STATUS } = require('./line.js');
const msg = require('./msg.js');
const { Order } = require('./order.js');
const { Outbox } = require('./outbox.js');

/** A gap may close by itself; after so long we ask for what is missing. */
const GAP_MS = 1000;
const HISTORY_COUNT = 100;
/** A group that could not be joined again just now is asked for again after so long. */
const JOIN_MS = 2000;

/**
 * @typedef {import('./line.js').Frame} Frame
 * @typedef {import('./line.js').Refusal} Refusal
 * @typedef {import('./msg.js').BodyElement} BodyElement
 * @typedef {import('./msg.js').Entry} Entry
 * @typedef {{ sdkAppID?: number | string, userID: string, userSig: string, roomID?: number | string,
 *   privateMapKey?: string, nickName?: string }} Login
 * @typedef {import('./outbox.js').Sent} Sent
 * @typedef {{ audio: boolean, video: boolean, words: boolean, by: string }} Mutes what a moderator has muted of us; `by`: who said
 *   so last
 * @typedef {{
 *   login: (again: boolean) => void,
 *   refused: (refusal: Refusal) => void,
 *   status: (status: number) => void,
 *   userlist: (list: { userid: string, playurl: string }[]) => void,
 *   messages: (entries: Entry[]) => void,
 *   c2c: (entries: Entry[]) => void,
 *   event: (tag: string, code: number | string, detail: any) => void,
 *   muted: (mutes: Mutes) => void,
 *   kicked: (reason: string) => void,
 *   joined: () => void,
 *   parted: (refusal: Refusal) => void,
 * }} Handlers `messages` gets the group's, oldest first; `joined`: in the group again after a break; `parted`: refused then
 */

/** The entry of a tip, as the IM's own poll has it. @param {Frame} frame @returns {Entry} */
const tipEntry = ({ groupID, time, detail }) => ({
  Event: msg.EVENT.TIP,
  From_Account: '@TIM#SYSTEM',
  ToGroupId: groupID,
  MsgTimeStamp: Math.floor((Number(time) || 0) / 1000),
  MsgBody: detail && typeof detail === 'object' ? detail : {},
});

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
        muted: () => {},
        kicked: () => {},
        joined: () => {},
        parted: () => {},
      },
      handlers,
    );
    this._order = new Order();
    this._entered = false;
    this._asking = false;
    /** @type {{ id: string, in: boolean, done: ((error: Refusal | null) => void) | null } | null} */
    this._group = null;
    /** @type {any} */ this._gapTimer = null;
    /** @type {any} */ this._joinTimer = null;
    this._outbox = new Outbox({
      ready: (frame) => this.open && (!this._group || this._group.in || 'to' in frame),
      ask: (frame, done) => this._line.ask(frame, done),
    });
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
    if (this._line.state === 'closed') {
      done({ code: -4, name: 'not_logged_in', message: 'not logged in' }, { seq: 0, time: 0, random: 0 });
    } else {
      this._outbox.add(Object.assign({ cmd: 'send', body }, to ? { to } : {}), done);
    }
  }

  /**
   * Hear the group of a room without being its member; only what is said from now on.
   * @param {string} id
   * @param {(error: Refusal | null) => void} done
   */
  join(id, done) {
    this.quit();
    this._group = { id, in: false, done };
    if (this._line.state === 'closed') this._line.open();
    if (this.open) this._join();
  }

  quit() {
    const group = this._group;
    if (!group) return;
    this._part();
    if (this.open) this._line.ask({ cmd: 'quit', groupID: group.id });
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
    return Object.assign({}, this._login(), this._group ? {} : this._position());
  }

  _position() {
    const { epoch, last } = this._order;
    return epoch !== null && last !== null ? { epoch, lastSeq: last } : {};
  }

  /** @param {Frame} answer */
  _loggedIn(answer) {
    const again = this._entered;
    this._entered = true;
    const group = this._group;
    if (group) group.in = false;
    else this._order.entered(answer);
    this._mend();
    this._outbox.post();
    this._on.login(again);
    if (group && group === this._group) this._join();
  }

  _join() {
    const group = this._group;
    clearTimeout(this._joinTimer);
    if (!group) return;
    const asked = Object.assign({ cmd: 'join', groupID: group.id }, this._position());
    this._line.ask(asked, (error, answer) => {
      if (group !== this._group || error === LOST) return;
      const { done } = group;
      group.done = null;
      if (error) {
        if (error.retryAfterMs && !done) this._joinTimer = setTimeout(() => this._join(), JOIN_MS);
        else this._refusedGroup(error, done);
        return;
      }
      group.in = true;
      if (done) this._order.begin(answer);
      else this._order.entered(answer);
      this._mend();
      this._outbox.post();
      if (done) done(null);
      else this._on.joined();
    });
  }

  /** @param {Refusal} error @param {((error: Refusal) => void) | null} done null: after a break */
  _refusedGroup(error, done) {
    this._part();
    if (done) done(error);
    else this._on.parted(error);
  }

  /** Forget the group; what was to be said there is not. */
  _part() {
    this._group = null;
    clearTimeout(this._joinTimer);
    clearTimeout(this._gapTimer);
    this._gapTimer = null;
    this._order = new Order();
    this._outbox.giveUp(LOST, (frame) => !('to' in frame));
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
      case 'tip':
        // Who came, who went: said once, to those who are there, and counted nowhere.
        this._on.messages([tipEntry(frame)]);
        break;
      case 'muted':
        this._on.muted({ audio: !!frame.audio, video: !!frame.video, words: !!frame.words, by: String(frame.by || '') });
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
    if (!this._order.gap || !this.open || this._asking || (this._group && !this._group.in)) return;
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

  /** @param {Refusal} error */
  _giveUp(error) {
    clearTimeout(this._gapTimer);
    this._gapTimer = null;
    clearTimeout(this._joinTimer);
    const group = this._group;
    this._group = null;
    this._outbox.giveUp(error);
    if (group && group.done) group.done(error);
  }
}

module.exports = Object.assign({ Im, STATUS }, msg);
