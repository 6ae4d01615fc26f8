/**
 * One stay in a call room of RoomService, from `start()` to `stop()`: the room, our picture, the others'.
 *
 *     start ──▶ [create the room] ──▶ push URL ──▶ pushing (1002) ──▶ in the room ──▶ stop, closed, removed, error
 *
 * utils/rtcroom.js knows one room at a time, so of several components on a page one has it: the last that was started.
 */

const rtcroom = require('../../utils/rtcroom.js');
const { session } = require('../../utils/session.js');
const { templateOf } = require('../common/layout.js');
const { Stage } = require('../common/stage.js');

/** What pages are told, as the tag `error`. */
const ERROR = {
  PUSH_URL: -1,
  CREATE: -2,
  ENTER: -3,
  CAMERA: -4,
  MICROPHONE: -5,
  PUSH_DISCONNECT: -6,
  PERMISSION: -7,
  FULL: -8,
  PLAY: -9,
  /** Ours: removed from the room, or the same user has logged in elsewhere. */
  REMOVED: -10,
  HANGUP: 5000,
};

/** @type {Record<number, [number, string]>} states of live-pusher that end the stay */
const ENDINGS = {
  [-1301]: [ERROR.CAMERA, 'the camera could not be opened'],
  [-1302]: [ERROR.MICROPHONE, 'the microphone could not be opened'],
  [-1307]: [ERROR.PUSH_DISCONNECT, 'the connection that publishes is lost'],
  5000: [ERROR.HANGUP, 'the mini program was put away'],
};

/**
 * @typedef {import('../common/layout.js').Listed} Listed
 * @typedef {import('../../utils/roomclient.js').Failure} Failure
 * @typedef {import('../../utils/roomclient.js').RoomPusher} RoomPusher
 * @typedef {{ roomID: string, roomInfo: string, template: string }} Settings `roomID` '' makes a room
 * @typedef {{ settings: () => Settings, raise: (tag: string, code: number, detail: string) => void }} Host
 */

/** @type {Call | null} */
let active = null;

/** @param {Failure} failure */
const said = ({ errMsg, errCode }) => `${errMsg} (${errCode})`;

/** @param {Listed[]} list @param {RoomPusher[]} some */
const without = (list, some) => list.filter(({ userID }) => !some.some((one) => one.userID === userID));

class Call {
  /** @param {Host} host @param {import('../common/stage.js').Screen} screen */
  constructor(host, screen) {
    this._host = host;
    this.stage = new Stage(screen, {
      casting: () => {
        const { userID } = rtcroom.getAccountInfo();
        return { template: host.settings().template, userID, presenter: '', autoplay: true };
      },
      full: (limit) => this._raise(ERROR.FULL, `more than ${limit + 1} people are in this room`),
      hopeless: ({ userID }) => this._raise(ERROR.PLAY, `${userID} could not be played for a while`),
    });
    this.running = false;
    /** A room that was made here is entered again by a second `start()`. */
    this._made = '';
    this._stay = 0;
    /** @type {Listed[]} */ this._list = [];
  }

  start() {
    if (active && active !== this) active.stop();
    this.stop();
    active = this;
    this.running = true;
    this._stay += 1;
    rtcroom.setListener({
      onGetPusherList: ({ pushers }) => this._listed(pushers),
      onPusherJoin: ({ pushers }) => this._listed([...without(this._list, pushers), ...pushers]),
      onPusherQuit: ({ pushers }) => this._listed(without(this._list, pushers)),
      onRoomClose: () => this._closed(),
      onRecvRoomTextMsg: (message) => this._host.raise('recvTextMsg', 0, JSON.stringify(message)),
      onKickOut: ({ reason }) => this._ended(ERROR.REMOVED, reason),
    });
    const { roomID, roomInfo } = this._host.settings();
    if (roomID || this._made) {
      this._look(roomID || this._made);
      return;
    }
    rtcroom.createRoom({
      data: { roomInfo },
      success: this._mine((/** @type {{ roomID: string }} */ made) => {
        this._made = made.roomID;
        this._askURL(made.roomID);
      }),
      fail: this._mine((/** @type {Failure} */ failure) => this._ended(ERROR.CREATE, said(failure))),
    });
  }

  /** Leave the room and let go of everything. May be called at any time. */
  stop() {
    if (!this.running) return;
    this.running = false;
    this._list = [];
    this.stage.clear();
    active = null;
    rtcroom.setListener({});
    rtcroom.exitRoom({});
  }

  pause() {
    this.stage.pause();
  }

  resume() {
    this.stage.resume();
    session.check();
  }

  layout() {
    return templateOf(this._host.settings().template);
  }

  relayout() {
    if (this.running) this.stage.list(this._list);
    else this.stage.reseat();
  }

  // --- the way in

  /**
   * A callback that counts only while this stay goes on.
   * @param {(answer: any) => void} callback
   * @returns {(answer?: any) => void}
   */
  _mine(callback) {
    const stay = this._stay;
    return (answer) => {
      if (this.running && stay === this._stay) callback(answer);
    };
  }

  /** The others are shown while our own picture is on its way. @param {string} roomID */
  _look(roomID) {
    this._askURL(roomID);
    const found = this._mine(({ pushers }) => {
      if (!this._list.length) this._listed(pushers);
    });
    rtcroom.getPushers({ data: { roomID }, success: found });
  }

  /** @param {string} roomID */
  _askURL(roomID) {
    rtcroom.getPushURL({
      data: { roomID },
      success: this._mine(({ pushURL }) => this.stage.push(pushURL, this._mine(() => this._enter(roomID, pushURL)))),
      fail: this._mine((/** @type {Failure} */ failure) => this._ended(ERROR.PUSH_URL, said(failure))),
    });
  }

  /** @param {string} roomID @param {string} pushURL */
  _enter(roomID, pushURL) {
    const { roomInfo } = this._host.settings();
    const fail = this._mine((/** @type {Failure} */ failure) => this._ended(ERROR.ENTER, said(failure)));
    rtcroom.enterRoom({ data: { roomID, pushURL, roomInfo }, fail });
  }

  // --- who is there

  /** @param {(RoomPusher | Listed)[]} pushers */
  _listed(pushers) {
    if (!this.running) return;
    this._list = pushers
      .filter(({ accelerateURL }) => accelerateURL)
      .map(({ userID, userName, accelerateURL }) => ({ userID, userName, accelerateURL }));
    this.stage.list(this._list);
  }

  _closed() {
    this._made = '';
    this.stop();
    this._host.raise('roomClosed', 0, '');
  }

  /** @param {number} code @param {string} detail */
  _ended(code, detail) {
    if (!this.running) return;
    this.stop();
    this._raise(code, detail);
  }

  /** @param {number} code @param {string} detail */
  _raise(code, detail) {
    this._host.raise('error', code, detail);
  }

  // --- what the tags say

  /** @param {number} code */
  pusherState(code) {
    if (this.running && ENDINGS[code]) this._ended(ENDINGS[code][0], ENDINGS[code][1]);
  }

  /** @param {number} code @param {string} message */
  pusherError(code, message) {
    const what = code === 10001 ? 'the camera' : code === 10002 ? 'the microphone' : 'camera or microphone';
    this._raise(ERROR.PERMISSION, `${what} may not be used: ${message || code}`);
  }
}

module.exports = { Call, ERROR };
