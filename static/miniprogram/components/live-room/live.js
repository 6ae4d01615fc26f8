/**
 * One stay in a live room, as its presenter or in its audience, who may be linked and become a guest.
 *
 *     presenter:  push URL ──▶ pushing (1002) ──▶ room made ──▶ guests come and go ──▶ stop ends the room
 *     audience:   in the room, mixed picture ──▶ request, accepted ──▶ host's own stream, push URL ──▶ pushing
 *                 ──▶ guest (LinkOn) ──▶ quit, removed by the host ──▶ mixed picture (LinkOut)
 *
 * utils/liveroom.js knows one room at a time, so of several components on a page one has it: the last that was started.
 */

const liveroom = require('../../utils/liveroom.js');
const { NOT_PUSHER } = require('../../utils/roomclient.js');
const { session } = require('../../utils/session.js');
const { BROADCAST, CALL, templateOf } = require('../common/layout.js');
const { Stage } = require('../common/stage.js');

/** What pages are told, as the tag `error`; the tags' own codes are passed on as they are. */
const ERROR = {
  LINK: -1,
  LINK_PUSHER: -2,
  CREATE: -9001,
  PUSH_URL: -9002,
  ENTER: -9003,
  REQUEST: -9004,
  MESSAGE: -9005,
  CLOSED: -9006,
  /** Ours: removed from the room, or the same user has logged in elsewhere. */
  REMOVED: -9007,
  PLAY: -2301,
  HANGUP: 5000,
};
/** @type {Record<number, string>} states of live-pusher that pages are told */
const TOLD = {
  [-1301]: 'the camera could not be opened',
  [-1302]: 'the microphone could not be opened',
  [-1305]: 'this resolution is not supported',
  [-1306]: 'this sample rate is not supported',
  [-1307]: 'the connection that publishes is lost',
  5000: 'the mini program was put away',
};
const DISCONNECTED = -1307;
/** How long we wait for the host's answer. */
const REQUEST_MS = 5000;

/**
 * @typedef {import('../common/layout.js').Listed} Listed
 * @typedef {import('../../utils/roomclient.js').Failure} Failure
 * @typedef {import('../../utils/roomclient.js').RoomPusher} RoomPusher
 * @typedef {{ userID: string, userName?: string, userAvatar?: string }} Guest
 * @typedef {{ presenter: boolean, roomID: string, roomName: string, template: string, muted: boolean }} Settings
 * @typedef {{
 *   settings: () => Settings,
 *   raise: (tag: string, code: number, detail: any) => void,
 *   linked: (linked: boolean) => void,
 *   drawLayout: () => void,
 * }} Host `linked`: whether we push as a guest, and so stand in the picture
 */

/** The host as its audience sees it: mixed with its guests, and alone. */
const NOBODY = { userID: '', userName: '', mixed: '', own: '' };

/** @type {Live | null} */
let active = null;

/** @param {Failure} failure */
const said = ({ errMsg, errCode }) => `${errMsg} (${errCode})`;

/** @param {Listed[]} list @param {Guest[]} some */
const without = (list, some) => list.filter(({ userID }) => !some.some((one) => one.userID === userID));

class Live {
  /** @param {Host} host @param {import('../common/stage.js').Screen} screen */
  constructor(host, screen) {
    this._host = host;
    this.stage = new Stage(screen, {
      casting: () => {
        const { presenter, template } = host.settings();
        const { userID } = liveroom.getAccountInfo();
        const large = presenter ? userID : this._presenter.userID;
        return { template, userID, presenter: large, autoplay: true, large, absent: !presenter && !this.linked };
      },
      full: () => {}, // the server says who may come
      hopeless: ({ userID }) => {
        if (userID === this._presenter.userID) this._raise(ERROR.PLAY, 'the picture could not be played for a while');
      },
    });
    this.running = false;
    this.linked = false;
    this._requesting = false;
    this._stay = 0;
    this._presenter = NOBODY;
    /** @type {Listed[]} */ this._guests = [];
  }

  start() {
    if (active && active !== this) active.stop();
    this.stop();
    active = this;
    this.running = true;
    this._stay += 1;
    liveroom.setListener({
      onPusherJoin: ({ pushers }) => this._joined(pushers),
      onPusherQuit: ({ pushers }) => this._quit(pushers),
      onRoomClose: () => this._closed(),
      onRecvRoomTextMsg: (message) => this._host.raise('recvTextMsg', 0, message),
      onSketchpadData: (data) => this._host.raise('sketchpadData', 0, data),
      onRecvJoinPusherRequest: (guest) => this._host.raise('joinPusher', 0, guest),
      onKickOut: () => this.quitLink(),
      onRemoved: ({ reason }) => this._ended(ERROR.REMOVED, reason),
    });
    if (this._host.settings().presenter) this._present();
    else this._watch();
  }

  /** Leave the room, as its presenter end it, and let go of everything. May be called at any time. */
  stop() {
    if (!this.running) return;
    this.running = this.linked = this._requesting = false;
    this._presenter = NOBODY;
    this._guests = [];
    this.stage.clear();
    this._host.linked(false);
    active = null;
    liveroom.setListener({});
    liveroom.exitRoom({});
  }

  pause() {
    this.stage.pause();
  }

  resume() {
    this.stage.resume();
    session.check();
  }

  /** Where nobody stands beside the large picture it fills the box. */
  layout() {
    const { template, presenter } = this._host.settings();
    const beside = this._guests.length > 0 || (!presenter && this.linked);
    if (template === '1v1' || !beside) return 'float';
    return template === '1v3' ? '1u3d' : templateOf(template, 'float');
  }

  relayout() {
    if (!this.running) {
      this.stage.reseat();
      return;
    }
    const { presenter, muted } = this._host.settings();
    const { userID, userName, mixed, own } = this._presenter;
    /** @type {Listed[]} */
    const list = presenter || this.linked ? this._guests.slice() : [];
    const accelerateURL = this.linked ? own : mixed;
    if (!presenter && accelerateURL) list.unshift({ userID, userName, accelerateURL, playing: this.linked ? CALL : BROADCAST });
    this.stage.list(list);
    // Who only watches mutes what it hears; who is heard mutes itself.
    if (!presenter) this.stage.hearAudio(userID, this.linked || !muted);
  }

  _show() {
    this.relayout();
    this._host.drawLayout();
  }

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

  // --- presenter

  _present() {
    liveroom.getPushURL({
      data: {},
      success: this._mine(({ pushURL }) => this.stage.push(pushURL, this._mine(() => this._create(pushURL)))),
      fail: this._mine((/** @type {Failure} */ failure) => this._ended(ERROR.PUSH_URL, said(failure))),
    });
  }

  /** @param {string} pushURL */
  _create(pushURL) {
    const { roomName, roomID } = this._host.settings();
    liveroom.createRoom({
      data: { roomInfo: roomName || liveroom.getAccountInfo().userName, pushURL, roomID },
      success: this._mine(() => this._host.raise('created', 0, 'the room is open')),
      fail: this._mine((/** @type {Failure} */ failure) => this._ended(ERROR.CREATE, said(failure))),
    });
  }

  /** @param {boolean} agree @param {Guest} guest */
  respondJoinReq(agree, guest) {
    if (!this.running || !guest || !guest.userID) return;
    if (agree) liveroom.acceptJoinPusher({ data: guest });
    else liveroom.rejectJoinPusher({ data: guest });
  }

  /** @param {string} userID */
  kickout(userID) {
    if (!this.running || !this._host.settings().presenter) return;
    liveroom.kickoutSubPusher({ data: { userID }, success: this._mine(() => this._quit([{ userID }])) });
  }

  // --- audience

  _watch() {
    const { roomID } = this._host.settings();
    liveroom.enterRoom({
      data: { roomID },
      success: this._mine(({ roomCreator, mixedPlayURL, pushers }) => {
        const host = pushers.find((/** @type {RoomPusher} */ { userID }) => userID === roomCreator) || pushers[0] || {};
        const { userID = roomCreator, userName = '', accelerateURL = '' } = host;
        this._presenter = { userID, userName, mixed: mixedPlayURL, own: accelerateURL };
        this._show();
        // A host with a whiteboard tells us what is on it; others do not answer.
        liveroom.sendC2CCustomMsg({ cmd: 'sketchpad', msg: '{"type":"request", "action":"currentPPT"}' });
      }),
      fail: this._mine((/** @type {Failure} */ failure) => this._ended(ERROR.ENTER, said(failure))),
    });
  }

  requestJoinPusher() {
    if (!this.running || this._requesting || this.linked || this._host.settings().presenter) return;
    this._requesting = true;
    const settled = (/** @type {() => void} */ then) =>
      this._mine(() => {
        this._requesting = false;
        then();
      });
    liveroom.requestJoinPusher({
      data: { timeout: REQUEST_MS },
      success: settled(() => this._link()),
      fail: this._mine((/** @type {Failure} */ failure) => {
        this._requesting = false;
        this._raise(ERROR.REQUEST, said(failure));
      }),
    });
  }

  /** The host's own stream instead of the mixed one, without delay; then our picture beside it. */
  _link() {
    this.linked = true;
    this._host.linked(true);
    this._show();
    const failed = (/** @type {number} */ code) =>
      this._mine((/** @type {Failure} */ failure) => {
        this._unlink();
        this._raise(code, said(failure));
      });
    liveroom.getPushURL({
      data: {},
      success: this._mine(({ pushURL }) => {
        if (!this.linked) return;
        this.stage.push(pushURL, this._mine(() => this.linkJoinPusher(pushURL, failed(ERROR.REQUEST))));
      }),
      fail: failed(ERROR.LINK),
    });
  }

  /** @param {string} pushURL @param {(failure: Failure) => void} fail */
  linkJoinPusher(pushURL, fail) {
    const success = this._mine(() => this._host.raise('LinkOn', 0, 'linked'));
    liveroom.joinPusher({ data: { pushURL }, success, fail });
  }

  /** End our link, of ourselves or because the host says so. */
  quitLink() {
    if (!this.running || !this.linked) return;
    this._unlink();
    liveroom.quitPusher({
      fail: this._mine((/** @type {Failure} */ failure) => {
        if (failure.errCode !== NOT_PUSHER) this._raise(ERROR.LINK, said(failure));
      }),
    });
  }

  _unlink() {
    this.linked = false;
    this._guests = [];
    this.stage.unpush();
    this._host.linked(false);
    this._show();
    this._host.raise('LinkOut', 0, 'the link has ended');
  }

  mutedChanged() {
    if (this.running) this.relayout();
  }

  // --- who is there

  /** @param {RoomPusher[]} pushers */
  _joined(pushers) {
    const others = pushers
      .filter(({ userID, accelerateURL }) => accelerateURL && userID !== this._presenter.userID)
      .map(({ userID, userName, accelerateURL }) => ({ userID, userName, accelerateURL }));
    this._guests = [...without(this._guests, others), ...others];
    this._show();
  }

  /** @param {Guest[]} pushers */
  _quit(pushers) {
    const { userID } = liveroom.getAccountInfo();
    if (this.linked && pushers.some((gone) => gone.userID === userID)) {
      this._unlink();
      return;
    }
    this._guests = without(this._guests, pushers);
    this._show();
  }

  _closed() {
    this.stop();
    this._host.raise('roomClosed', ERROR.CLOSED, 'the room has ended');
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

  /** @param {string} text */
  sendTextMsg(text) {
    const fail = (/** @type {Failure} */ failure) => this._raise(ERROR.MESSAGE, said(failure));
    liveroom.sendRoomTextMsg({ data: { msg: text }, fail });
  }

  // --- what the tags say

  /** @param {number} code */
  pusherState(code) {
    if (!this.running || !TOLD[code]) return;
    if (code === ERROR.HANGUP || (code === DISCONNECTED && !this.linked)) {
      this._ended(code, TOLD[code]);
      return;
    }
    // A guest whose link is lost still watches.
    if (code === DISCONNECTED) this.quitLink();
    this._raise(code, TOLD[code]);
  }

  /** @param {number} code @param {string} message */
  pusherError(code, message) {
    const what = code === 10001 ? 'the camera' : code === 10002 ? 'the microphone' : 'camera or microphone';
    const detail = `${what} may not be used: ${message || code}`;
    this._raise(this._host.settings().presenter ? ERROR.LINK : ERROR.LINK_PUSHER, detail);
  }
}

module.exports = { ERROR, Live };
