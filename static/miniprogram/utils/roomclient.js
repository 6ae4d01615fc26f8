/**
 * What rtcroom.js and liveroom.js have in common: login, lists and addresses, being a pusher of a room with its
 * heartbeat, and the list of pushers, which is asked for whenever the room says that it has changed.
 *
 *     idle ──login──▶ logged in ──enter──▶ in a room ──exit, closed, removed──▶ logged in
 *
 * A stay has a number: what an earlier stay still hears (an answer, a notice) is none of the present one's business.
 */

const { ERROR, session } = require('./session.js');
const { directBody, parse, readDirect, readGroup, textBody } = require('./talk.js');

const REPORT = { REMOVED: 4, DISSOLVED: 5, CUSTOM: 255 };
const NO_ROOM = 1;
const NOT_PUSHER = 5;
const FIRST_BEAT_MS = 3000;
const BEAT_MS = 7000;
/** A list that could not be had is asked for again after so long. */
const AGAIN_MS = 2000;
const LIST = { index: 0, cnt: 20 };

/**
 * @typedef {import('./session.js').Failure} Failure
 * @typedef {import('./msg.js').Entry} Entry
 * @typedef {{ userID: string, userName: string, userAvatar: string, accelerateURL: string }} RoomPusher
 * @typedef {{ data?: any, success?: (answer: any) => void, fail?: (failure: Failure) => void }} Options what each call of the
 *   libraries takes
 * @typedef {{ roomID: string, roomInfo: string, roomCreator: string, mixedPlayURL: string, pushers: RoomPusher[],
 *   isDestory: boolean }} RoomInfo `isDestory` (as it was spelled): the room is over
 * @typedef {{
 *   entered: (pushers: RoomPusher[], first: boolean) => void,
 *   left: (pushers: RoomPusher[]) => void,
 *   dropped: (failure: Failure) => void,
 *   changed: () => void,
 *   said: (said: import('./talk.js').Said, own: boolean) => void,
 *   asked: (from: string, cmd: string, data: Record<string, any>) => void,
 *   closed: () => void,
 *   removed: (reason: string) => void,
 *   back: () => void,
 * }} Rules what a library makes of it, nothing by default; `dropped`: no pusher of the room any more, against our will
 */

/** @returns {RoomInfo} */
const nowhere = () => ({ roomID: '', roomInfo: '', roomCreator: '', mixedPlayURL: '', pushers: [], isDestory: false });

/** @param {string} address of the calls of one kind of room */
const baseOf = (address) => (address.slice(-1) === '/' ? address : `${address}/`);

/**
 * A page's callbacks, each safe to call: what a page does wrong must not stop the room.
 * @param {Options | undefined} options
 */
function answers(options) {
  const { success, fail } = options || {};
  return {
    /** @param {any} answer */
    succeed: (answer) => safely(success, answer),
    /** @param {Failure} failure */
    fail: (failure) => safely(fail, failure),
  };
}

/** @param {((...values: any[]) => void) | undefined} callback @param {...any} values */
function safely(callback, ...values) {
  if (typeof callback !== 'function') return;
  try {
    callback(...values);
  } catch (error) {
    console.error(error);
  }
}

class RoomClient {
  /** @param {Partial<Rules>} rules */
  constructor(rules) {
    const nothing = () => {};
    /** @type {Rules} */
    this._rules = Object.assign(
      { entered: nothing, left: nothing, dropped: nothing, changed: nothing, said: nothing, asked: nothing, closed: nothing, removed: nothing, back: nothing },
      rules,
    ); // prettier-ignore
    this._base = '';
    this.room = nowhere();
    /** The number of the stay, 0 outside of any. */
    this.stay = 0;
    this._stays = 0;
    /** Where we push as a pusher of the room, '' while we are none. */
    this._pushURL = '';
    this._listing = false;
    this._again = false;
    /** @type {any} */ this._beatTimer = null;
    /** @type {any} */ this._listTimer = null;
  }

  get account() {
    return session.account;
  }

  /** @param {string} name @param {Record<string, any>} body @param {(failure: Failure | null, answer: any) => void} done */
  call(name, body, done) {
    session.call(this._base, name, body, done);
  }

  // --- login, and calls that need no room

  /** @param {Options} options data: serverDomain, userID, userSig, sdkAppID, accType, userName, userAvatar */
  login(options) {
    const { succeed, fail } = answers(options);
    const data = (options && options.data) || {};
    if (!data.serverDomain || !data.userID || !data.userSig || !data.sdkAppID) {
      fail({ errCode: ERROR.PARAMETERS, errMsg: 'login: serverDomain, userID, userSig and sdkAppID are needed' });
      return;
    }
    this._base = baseOf(String(data.serverDomain));
    const account = {
      userID: String(data.userID),
      userSig: String(data.userSig),
      sdkAppID: data.sdkAppID,
      accountType: String(data.accType || data.accountType || '0'),
      userName: String(data.userName || data.userID),
      userAvatar: String(data.userAvatar || ''),
    };
    session.login(this._base, account, this, (failure) => {
      if (failure) fail(failure);
      else succeed({ userID: this.account.userID, userName: this.account.userName });
    });
  }

  logout() {
    this.leave();
    session.logout();
  }

  /** @param {Options} options data: index, cnt */
  getRoomList(options) {
    const { succeed, fail } = answers(options);
    const data = Object.assign({}, LIST, options && options.data);
    this.call('get_room_list', { index: data.index || 0, cnt: data.cnt || LIST.cnt }, (failure, answer) => {
      if (failure) fail(failure);
      else succeed({ rooms: Array.isArray(answer.rooms) ? answer.rooms : [] });
    });
  }

  /** @param {Options} options data: roomID */
  getPushURL(options) {
    const { succeed, fail } = answers(options);
    const { roomID = '' } = (options && options.data) || {};
    const body = Object.assign({ userID: this.account.userID }, roomID ? { roomID: String(roomID) } : {});
    this.call('get_push_url', body, (failure, answer) => {
      if (failure) fail(failure);
      else succeed({ pushURL: answer.pushURL });
    });
  }

  // --- a stay

  /** @param {Partial<RoomInfo>} room @returns {number} */
  enter(room) {
    this.leave();
    this._stays += 1;
    this.stay = this._stays;
    this.room = Object.assign(nowhere(), room);
    return this.stay;
  }

  /** The stay is over: nothing of it goes on. The server is told by whoever ends it. */
  leave() {
    if (!this.stay) return;
    this.stay = 0;
    this._pushURL = '';
    this._listing = this._again = false;
    clearTimeout(this._beatTimer);
    clearTimeout(this._listTimer);
    session.quit();
    this.room = Object.assign(nowhere(), { isDestory: true });
  }

  /** @param {number} stay @param {(failure: Failure | null) => void} done */
  joinGroup(stay, done) {
    session.join(this.room.roomID, this, (failure) => {
      if (stay === this.stay) done(failure);
    });
  }

  /** @param {number} stay @param {string} pushURL @param {(failure: Failure | null) => void} done */
  addPusher(stay, pushURL, done) {
    const { roomID, roomInfo } = this.room;
    const { userID, userName, userAvatar } = this.account;
    this.call('add_pusher', { roomID, roomInfo, userID, userName, userAvatar, pushURL }, (failure) => {
      if (stay !== this.stay) return;
      if (!failure) {
        this._pushURL = pushURL;
        this._beat(FIRST_BEAT_MS);
      }
      done(failure);
    });
  }

  /** We push no more, and stay. @param {(failure: Failure | null) => void} done */
  deletePusher(done) {
    const { roomID } = this.room;
    this._pushURL = '';
    clearTimeout(this._beatTimer);
    this.call('delete_pusher', { roomID, userID: this.account.userID }, done);
  }

  get pushing() {
    return this._pushURL !== '';
  }

  /** @param {number} pause */
  _beat(pause) {
    const { stay } = this;
    clearTimeout(this._beatTimer);
    this._beatTimer = setTimeout(() => {
      this.call('pusher_heartbeat', { roomID: this.room.roomID, userID: this.account.userID }, (failure) => {
        if (stay !== this.stay || !this.pushing) return;
        if (failure && failure.errCode === NOT_PUSHER) this.refresh();
        this._beat(BEAT_MS);
      });
    }, pause);
  }

  // --- the pushers

  /** Ask who pushes, and compare. Asked again while an answer is under way, it asks once more afterwards. */
  refresh() {
    if (this._listing) {
      this._again = true;
      return;
    }
    const { stay } = this;
    this._listing = true;
    this.call('get_pushers', { roomID: this.room.roomID }, (failure, answer) => {
      if (stay !== this.stay) return;
      const again = this._again;
      this._listing = this._again = false;
      clearTimeout(this._listTimer);
      if (!failure) {
        this.listed(answer);
        if (again && stay === this.stay) this.refresh();
      } else if (failure.errCode === NO_ROOM) {
        this.close();
      } else if (failure.errCode === ERROR.NETWORK) {
        this._listTimer = setTimeout(() => this.refresh(), AGAIN_MS);
      }
    });
  }

  /** @param {Record<string, any>} answer of get_pushers @param {boolean} [first] the first of this stay */
  listed(answer, first = false) {
    const { stay, room, account } = this;
    const pushers = /** @type {RoomPusher[]} */ (Array.isArray(answer.pushers) ? answer.pushers : []);
    const before = room.pushers;
    const without = (/** @type {RoomPusher[]} */ some, /** @type {RoomPusher[]} */ others) =>
      some.filter(({ userID }) => !others.some((other) => other.userID === userID));
    const other = (/** @type {RoomPusher} */ { userID }) => userID !== account.userID;
    const entered = without(pushers, before).filter(other);
    const left = without(before, pushers).filter(other);
    Object.assign(room, {
      roomInfo: String(answer.roomInfo || ''),
      roomCreator: String(answer.roomCreator || ''),
      mixedPlayURL: String(answer.mixedPlayURL || ''),
      pushers,
    });
    if (entered.length || first) this._rules.entered(entered, first);
    if (left.length && stay === this.stay) this._rules.left(left);
    if (stay === this.stay && this.pushing && pushers.every(other)) this._addAgain();
  }

  /** The room has dropped us (silent for too long, perhaps) while we push on. */
  _addAgain() {
    const { stay } = this;
    const pushURL = this._pushURL;
    this.addPusher(stay, pushURL, (failure) => {
      if (!failure || failure.errCode <= 0) return; // not reached: the next heartbeat tells us again
      this._pushURL = '';
      clearTimeout(this._beatTimer);
      this._rules.dropped(failure);
    });
  }

  // --- what comes from the room; session.js calls these

  /** @param {Record<string, any>} detail */
  notice(detail) {
    if (!this.stay || (detail.GroupId && String(detail.GroupId) !== this.room.roomID)) return;
    const report = Number(detail.ReportType);
    if (report === REPORT.DISSOLVED) this.close();
    else if (report === REPORT.REMOVED) this.remove('kick');
    else if (report === REPORT.CUSTOM) {
      const content = parse(detail.UserDefinedField);
      if (content && content.cmd === 'notifyPusherChange') this._rules.changed();
    }
  }

  /** @param {Entry} entry */
  message(entry) {
    const said = this.stay ? readGroup(entry) : null;
    if (said) this._rules.said(said, said.userID === this.account.userID);
  }

  /** @param {Entry} entry */
  direct(entry) {
    const read = readDirect(entry);
    if (read) this._rules.asked(read.from, read.cmd, read.data);
  }

  /** Notices are not kept: what has changed meanwhile is asked for. */
  back() {
    if (!this.stay) return;
    this._rules.changed();
    this._rules.back();
  }

  /** @param {string} reason */
  parted(reason) {
    if (!this.stay) return;
    if (reason === 'no_such_room') this.close();
    else this.remove(reason);
  }

  /** @param {string} reason */
  kicked(reason) {
    this.remove(reason);
  }

  close() {
    this.leave();
    this._rules.closed();
  }

  /** @param {string} reason `kick`, `replaced` (the same user elsewhere), or the name of a refusal */
  remove(reason) {
    this.leave();
    this._rules.removed(reason);
  }

  // --- what we say

  /** @param {Options} options data: msg */
  sendRoomTextMsg(options) {
    const { fail } = answers(options);
    const { msg = '' } = (options && options.data) || {};
    if (!String(msg).trim()) {
      fail({ errCode: ERROR.PARAMETERS, errMsg: 'sendRoomTextMsg: msg is needed' });
      return;
    }
    this.say(textBody(this.account, String(msg)), '', options);
  }

  /** @param {string} to @param {string} cmd @param {Record<string, any>} data @param {Options} [options] */
  ask(to, cmd, data, options) {
    this.say(directBody(cmd, data), to, options);
  }

  /** @param {import('./msg.js').BodyElement[]} body @param {string} to '' for the room @param {Options} [options] */
  say(body, to, options) {
    const { succeed, fail } = answers(options);
    if (!to && !this.stay) {
      fail({ errCode: ERROR.GROUP, errMsg: 'in no room' });
      return;
    }
    session.say(body, to, (failure) => (failure ? fail(failure) : succeed({})));
  }
}

module.exports = { ERROR, NOT_PUSHER, RoomClient, answers, safely };
