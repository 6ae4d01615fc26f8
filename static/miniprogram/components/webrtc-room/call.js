/**
 * One stay in a room, from `start()` to `stop()`: asks the gateway for the addresses, publishes to the one, plays the
 * others, keeps the list of members, carries the messages. It knows neither the template nor the component: what it
 * needs of them is its host.
 *
 * Where the vendor's component asks for a room signature and gives live-pusher a `room://` address, this one asks for
 * `rtmp://` addresses (`get_push_url`); where that hears the list of members from its pusher (1020), this one hears it
 * over `/im`. Everything that pages see of it is the same.
 */

const { Im } = require('../../utils/im.js');
const { templateOf } = require('../common/layout.js');
const { Stage } = require('../common/stage.js');
const { ImHandler } = require('./im_handler.js');

/** What pages are told, as RoomEvent with the tag `error`. */
const ERROR = {
  CAMERA: -4,
  MICROPHONE: -5,
  PUSH_DISCONNECT: -6,
  PERMISSION: -7,
  TOO_MANY_MEMBERS: -8,
  ADDRESS: -9,
  ROOM: -10,
  HANGUP: 5000,
};
const RETRY_MS = 2000;
/** The first request and so many more; then the page is told. */
const RETRIES = 3;
const REQUEST_MS = 10000;

/** @type {Record<number, [number, string]>} states of live-pusher that end the stay */
const ENDINGS = {
  [-1301]: [ERROR.CAMERA, 'the camera could not be opened'],
  [-1302]: [ERROR.MICROPHONE, 'the microphone could not be opened'],
  [-1307]: [ERROR.PUSH_DISCONNECT, 'the connection that publishes is lost'],
  1019: [ERROR.ROOM, 'the room was left'],
  5000: [ERROR.HANGUP, 'the mini program was put away'],
};

/**
 * @typedef {import('../common/layout.js').Listed} Listed
 * @typedef {{
 *   server: string, roomID: number | string, userID: string, userName: string, userSig: string, sdkAppID: number,
 *   privateMapKey: string, template: string, roomCreator: string, enableIM: boolean, autoplay: boolean,
 * }} Settings
 * @typedef {{
 *   settings: () => Settings,
 *   failed: (code: number, detail: string) => void,
 *   muted: (mutes: import('../../utils/im.js').Mutes) => void,
 *   imEvent: import('./im_handler.js').Fire,
 * }} Host
 */

/** What a stay has come to. A new one begins with nothing; what an old one still hears is compared with it. */
const nothing = () => ({
  failures: 0,
  asking: false,
  list: /** @type {Listed[]} */ ([]),
  /** @type {Map<string, string>} */
  names: new Map(),
  line: /** @type {InstanceType<typeof Im> | null} */ (null),
  /** @type {Set<WechatMiniprogram.RequestTask>} */
  requests: new Set(),
  timer: /** @type {any} */ (null),
});

class Call {
  /** @param {Host} host @param {import('../common/stage.js').Screen} screen */
  constructor(host, screen) {
    this._host = host;
    this.stage = new Stage(screen, {
      casting: () => {
        const { template, userID, roomCreator, autoplay } = host.settings();
        return { template, userID, presenter: roomCreator, autoplay };
      },
      full: (limit) => host.failed(ERROR.TOO_MANY_MEMBERS, `more than ${limit + 1} people are in this room`),
      hopeless: () => {}, // whoever is listed may come any moment
    });
    this.im = new ImHandler(host.imEvent);
    this.running = false;
    this._now = nothing();
  }

  start() {
    this.stop();
    const { userID, userSig, roomID } = this._host.settings();
    const lacking = Object.entries({ userID, userSig, roomID }).find(([, value]) => !value);
    if (lacking) {
      this._host.failed(ERROR.ADDRESS, `${lacking[0]} is not set`);
      return;
    }
    this.running = true;
    this._askAddresses();
  }

  /** Leave the room and let go of everything. May be called at any time. */
  stop() {
    if (!this.running) return;
    this.running = false;
    clearTimeout(this._now.timer);
    this._now.requests.forEach((request) => request.abort());
    const { line, asking } = this._now;
    if (line ? !line.open && !line.over : asking) this._quit();
    if (line) line.stop();
    this.im.stop();
    this._now = nothing();
    this.stage.clear();
  }

  /** There is no line to say goodbye on just now: the others shall not wait for our time to run out. */
  _quit() {
    const { server, userID, userSig, roomID } = this._host.settings();
    wx.request({
      url: `${server}/webrtc/weapp/webrtc_room/quit_room`,
      method: 'POST',
      timeout: REQUEST_MS,
      header: { 'content-type': 'application/json' },
      data: { userID, userSig, roomID: String(roomID) },
    });
  }

  pause() {
    this.stage.pause();
  }

  resume() {
    this.stage.resume();
    if (this._now.line) this._now.line.check();
  }

  layout() {
    return templateOf(this._host.settings().template);
  }

  relayout() {
    if (this.running) this.stage.list(this._named());
    else this.stage.reseat();
  }

  // --- the way in

  /**
   * @param {string} name
   * @param {Record<string, any>} data
   * @param {(answer: Record<string, any>) => void} done `code` 0, or an answer made here with -1
   */
  _post(name, data, done) {
    const now = this._now;
    const request = wx.request({
      url: `${this._host.settings().server}/webrtc/weapp/webrtc_room/${name}`,
      method: 'POST',
      timeout: REQUEST_MS,
      header: { 'content-type': 'application/json' },
      data,
      success: (result) => {
        const answer = /** @type {Record<string, any>} */ (result.data);
        const good = answer && typeof answer === 'object' && typeof answer.code === 'number';
        if (this.running && this._now === now) done(good ? answer : { code: -1, message: `HTTP ${result.statusCode}` });
      },
      fail: (error) => {
        if (this.running && this._now === now) done({ code: -1, message: error.errMsg });
      },
      complete: () => now.requests.delete(request),
    });
    now.requests.add(request);
  }

  _askAddresses() {
    const { userID, roomID, userSig, privateMapKey, userName } = this._host.settings();
    const body = { userID, roomID: String(roomID), userSig, privateMapKey, nickName: userName || userID };
    this._now.asking = true;
    this._post('get_push_url', body, (answer) => {
      this._now.asking = false;
      if (answer.code === 0) {
        this._entered(answer);
        return;
      }
      this._now.failures += 1;
      if (this._now.failures > RETRIES) {
        this.stop();
        this._host.failed(ERROR.ADDRESS, `no address for this room: ${answer.message} (${answer.code})`);
      } else {
        this._now.timer = setTimeout(() => this._askAddresses(), RETRY_MS);
      }
    });
  }

  /** @param {Record<string, any>} answer */
  _entered(answer) {
    this._openLine();
    if (!this.running) return;
    // Without a right to send there is no address, and nothing to publish.
    this.stage.push(answer.pushURL || '');
    this._listed(answer.members || []);
  }

  _openLine() {
    const { server, userID, roomID, userName, enableIM } = this._host.settings();
    const line = new Im(server, () => this._tickets(), {
      userlist: (list) => this._listed(list.map(({ userid, playurl }) => ({ userID: userid, accelerateURL: playurl }))),
      event: (tag, code, detail) => {
        if (tag === 'error' && typeof code === 'number') this._host.failed(code, String(detail));
        else this.im.event(tag, code, detail);
      },
      status: (status) => this.im.status(status),
      messages: (entries) => this.im.messages(entries),
      c2c: (entries) => this.im.c2c(entries),
      refused: (refusal) => {
        this.im.refused(refusal);
        this._ended(ERROR.ROOM, `the room refuses us: ${refusal.message} (${refusal.code})`);
      },
      muted: (mutes) => this._host.muted(mutes),
      kicked: (reason) => {
        this.im.kicked(reason);
        this._ended(ERROR.ROOM, reason);
      },
    });
    this._now.line = line;
    if (enableIM) this.im.start(line, { userID, userName, roomID });
    line.start();
  }

  _tickets() {
    const { sdkAppID, userID, userSig, roomID, privateMapKey, userName } = this._host.settings();
    return { sdkAppID, userID, userSig, roomID, privateMapKey, nickName: userName || userID };
  }

  /** @param {number} code @param {string} detail */
  _ended(code, detail) {
    this.stop();
    this._host.failed(code, detail);
  }

  // --- members

  /** @param {Listed[]} list */
  _listed(list) {
    if (!this.running) return;
    this._now.list = list.filter((entry) => entry && entry.userID && entry.accelerateURL);
    this.stage.list(this._named());
    if (this._now.list.some(({ userID }) => !this._now.names.has(userID))) this._askNames();
  }

  _named() {
    return this._now.list.map((entry) => Object.assign({ userName: this._now.names.get(entry.userID) }, entry));
  }

  /** Names for the pictures. They are only decoration: no answer, no names. */
  _askNames() {
    const { userID, userSig, roomID } = this._host.settings();
    this._now.list.forEach((entry) => this._now.names.set(entry.userID, this._now.names.get(entry.userID) || ''));
    this._post('get_room_members', { userID, userSig, roomID: String(roomID) }, (answer) => {
      if (answer.code !== 0 || !Array.isArray(answer.members)) return;
      answer.members.forEach((member) => this._now.names.set(member.userID, member.nickName));
      this.stage.list(this._named());
    });
  }

  // --- what the tags say

  /** @param {number} code @param {string} message */
  pusherState(code, message) {
    if (!this.running) return;
    if (ENDINGS[code]) {
      this._ended(ENDINGS[code][0], ENDINGS[code][1]);
    } else if (code === 1020) {
      this._pusherList(message);
    } else if (code === 1021) {
      this.stop();
      this.start();
    }
  }

  /** 1020 comes from `room://` addresses only; a page that feeds one of its own is understood. @param {string} text */
  _pusherList(text) {
    try {
      const { userlist } = JSON.parse(text);
      this._listed(
        userlist.map((/** @type {any} */ entry) => ({ userID: entry.userid, accelerateURL: entry.playurl })),
      );
    } catch (error) {
      console.warn('webrtc-room: a member list that cannot be read');
    }
  }

  /** @param {number} code @param {string} message */
  pusherError(code, message) {
    const what = code === 10001 ? 'the camera' : code === 10002 ? 'the microphone' : 'camera or microphone';
    this._host.failed(ERROR.PERMISSION, `${what} may not be used: ${message || code}`);
  }
}

module.exports = { Call, ERROR };
