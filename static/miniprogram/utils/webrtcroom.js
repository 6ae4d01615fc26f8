/**
 * The room service over HTTP, by the names that pages of the webrtc-room demo call. `success` gets what `wx.request`
 * gives (the answer is its `data`), `fail` gets `{errCode, errMsg}`; every call may be left without either.
 */

const config = require('../config.js');

/**
 * @typedef {(result: any) => void} Success
 * @typedef {(error: { errCode: number, errMsg: string }) => void} Fail
 * @typedef {{ url: string, data?: Record<string, any>, success?: Success, fail?: Fail, complete?: () => void }} Call
 */

const HEARTBEAT_MS = 7000;

/** @type {Set<WechatMiniprogram.RequestTask>} */
const running = new Set();

let beats = 0;
/** @type {any} */
let beatTimer = null;

const webrtcroom = {
  /** Where the calls go; a page may set another address. */
  serverDomain: config.webrtcServerUrl,

  /** A userSig of the caller. Servers that admit no guests want it in each call. */
  userSig: '',

  /**
   * POST to one call.
   * @param {Call} call `url` is its path behind serverDomain
   */
  request(call) {
    const { success = () => {}, fail = () => {}, complete = () => {} } = call;
    const task = wx.request({
      url: webrtcroom.serverDomain + call.url,
      data: Object.assign(webrtcroom.userSig ? { userSig: webrtcroom.userSig } : {}, call.data),
      method: 'POST',
      header: { 'content-type': 'application/json' },
      success(result) {
        const data = /** @type {any} */ (result.data);
        if (result.statusCode === 200 && data && data.code === 0) success(result);
        else if (data && data.code) fail({ errCode: data.code, errMsg: String(data.message) });
        else fail({ errCode: result.statusCode, errMsg: `HTTP ${result.statusCode}` });
      },
      fail(error) {
        fail({ errCode: -1, errMsg: error.errMsg });
      },
      complete() {
        running.delete(task);
        complete();
      },
    });
    running.add(task);
    return task;
  },

  /** Break off all calls that wait for an answer. */
  clearRequest() {
    running.forEach((task) => task.abort());
    running.clear();
  },

  /**
   * @param {string} userID '' to be given one
   * @param {Success} [success] data: userID, userSig, sdkAppID, accountType
   * @param {Fail} [fail]
   */
  getLoginInfo(userID, success, fail) {
    return webrtcroom.request({ url: '/get_login_info', data: userID ? { userID } : {}, success, fail });
  },

  /**
   * @param {number} index
   * @param {number} count
   * @param {Success} [success] data.rooms: [{roomID, roomInfo, roomCreator}]
   * @param {Fail} [fail]
   */
  getRoomList(index, count, success, fail) {
    return webrtcroom.request({ url: '/get_room_list', data: { index, count }, success, fail });
  },

  /**
   * @param {string} userID
   * @param {string} roomInfo its name, for the list
   * @param {Success} [success] data: roomID, privateMapKey
   * @param {Fail} [fail]
   */
  createRoom(userID, roomInfo, success, fail) {
    return webrtcroom.request({ url: '/create_room', data: { userID, roomInfo }, success, fail });
  },

  /**
   * @param {string} userID
   * @param {string | number} roomID
   * @param {Success} [success] data: roomID, privateMapKey
   * @param {Fail} [fail]
   */
  enterRoom(userID, roomID, success, fail) {
    return webrtcroom.request({ url: '/enter_room', data: { userID, roomID: String(roomID) }, success, fail });
  },

  /**
   * Leave, and end the heartbeat.
   * @param {string} userID
   * @param {string | number} roomID
   * @param {Success} [success]
   * @param {Fail} [fail]
   */
  quitRoom(userID, roomID, success, fail) {
    webrtcroom.stopHeartBeat();
    return webrtcroom.request({ url: '/quit_room', data: { userID, roomID: String(roomID) }, success, fail });
  },

  /**
   * @param {string | number} roomID
   * @param {Success} [success] data.members: [{userID, nickName}]
   * @param {Fail} [fail]
   */
  getRoomMembers(roomID, success, fail) {
    return webrtcroom.request({ url: '/get_room_members', data: { roomID: String(roomID) }, success, fail });
  },

  /**
   * One sign of life.
   * @param {string} userID
   * @param {string | number} roomID
   * @param {Success} [success]
   * @param {Fail} [fail]
   * @param {() => void} [complete]
   */
  heartBeat(userID, roomID, success, fail, complete) {
    return webrtcroom.request({ url: '/heartbeat', data: { userID, roomID: String(roomID) }, success, fail, complete });
  },

  /**
   * A heartbeat at once and then every 7 s, until stopHeartBeat; `success` or `fail` is called for each.
   * @param {string} userID
   * @param {string | number} roomID
   * @param {Success} [success]
   * @param {Fail} [fail]
   */
  startHeartBeat(userID, roomID, success, fail) {
    webrtcroom.stopHeartBeat();
    const mine = beats;
    const beat = () => {
      const only = (/** @type {any} */ callback) => (/** @type {any} */ result) => {
        if (mine === beats && callback) callback(result);
      };
      webrtcroom.heartBeat(userID, roomID, only(success), only(fail), () => {
        if (mine === beats) beatTimer = setTimeout(beat, HEARTBEAT_MS);
      });
    };
    beat();
  },

  stopHeartBeat() {
    beats += 1;
    clearTimeout(beatTimer);
    beatTimer = null;
  },
};

module.exports = webrtcroom;
