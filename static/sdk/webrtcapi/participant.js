// @ts-check
/** What stands behind one `WebRTCAPI`: a member of one room after another, from its entry to its end. */

import TRTC from '../trtc.js';
import { CODE, entryCode, failure } from './codes.js';
import { Connection, patience } from './connection.js';
import { Local } from './local.js';
import { Remotes } from './remotes.js';
import { Stats } from './stats.js';

/**
 * @typedef {{
 *   sdkAppId?: number | string, sdkAppID?: number | string, userId?: string, userID?: string, openid?: string, userSig?: string,
 *   privateMapKey?: string, privMapEncrypt?: string, closeLocalMedia?: boolean, video?: boolean, audio?: boolean, screen?: boolean,
 *   wsRetryMaxTimes?: number, wsRetryDist?: number, preconn?: boolean | number,
 *   peerAddNotify?: boolean | ((peer: import('./remotes.js').Peer) => void), debug?: {log?: boolean} | boolean,
 *   accountType?: number | string, useCloud?: boolean | number,
 * }} Options those of the last line are taken and have no effect
 * @typedef {{
 *   roomid?: number | string, roomId?: number | string, roomID?: number | string, privateMapKey?: string, privMapEncrypt?: string,
 *   role?: string, appScene?: string, userId?: string, openid?: string, userSig?: string,
 *   constraints?: {video?: MediaDeviceInfo, audio?: MediaDeviceInfo},
 *   accountType?: number | string, pureAudioPush?: unknown, pureAudioPushMod?: unknown, recordId?: unknown,
 * }} RoomOptions userId and userSig after `preconn`; those of the last line are taken and have no effect
 * @typedef {{userId?: string, tinyId?: string, tinyid?: string, srctinyid?: string | number}} Peer one of the others
 * @typedef {{stream?: MediaStream, role?: string, screenRole?: string, screen?: boolean}} StartOptions
 */

const NEW_ROLES = ['anchor', 'audience'];

export class Participant {
  #options;
  #emit;
  #userId;
  #trtc = TRTC.create();
  #connection;
  #remotes;
  #in = false;
  /** @type {Promise<void> | null} */
  #leaving = null;

  /**
   * @param {Options} options
   * @param {(name: string, detail: object) => void} emit
   * @returns {Promise<Participant>} Rejects with PARAM_MISSING, NOT_SUPPORT.
   */
  static async create(options, emit) {
    const { sdkAppId = options.sdkAppID, userSig, preconn } = options;
    if (!sdkAppId) throw failure(CODE.PARAM_MISSING, 'sdkAppId is needed');
    if (!preconn && (!nameOf(options) || !userSig)) throw failure(CODE.PARAM_MISSING, 'userId and userSig are needed');
    if (!(await TRTC.isSupported()).result) throw failure(CODE.NOT_SUPPORT, 'this browser has no WebRTC');
    const { debug } = options;
    if (debug === true || (typeof debug === 'object' && debug?.log)) TRTC.setLogLevel(1);
    return new Participant(options, emit);
  }

  /** @param {Options} options @param {(name: string, detail: object) => void} emit */
  constructor(options, emit) {
    this.#options = options;
    this.#emit = emit;
    this.#userId = nameOf(options);
    const { peerAddNotify, wsRetryMaxTimes, wsRetryDist } = options;
    const on = { emit, isIn: () => this.#in, userId: () => this.#userId };
    this.local = new Local(this.#trtc, on);
    this.#connection = new Connection(this.#trtc, { ...on, over: () => this.quit() }, patience(wsRetryMaxTimes, wsRetryDist));
    /** @param {import('./remotes.js').Peer} peer */
    const ask = (peer) => typeof peerAddNotify === 'function' && peerAddNotify(peer);
    this.#remotes = new Remotes(this.#trtc, { ...on, received: () => void this.#connection.build(), ask: peerAddNotify ? ask : null });
    this.stats = new Stats(this.#trtc, { ...on, sends: (userId) => this.#remotes.sends(userId) });
    this.#listen();
  }

  /** @param {string} tinyId @returns {string | null} */
  userOf(tinyId) {
    return this.#remotes.userOf(tinyId);
  }

  // --- the room

  /** @param {RoomOptions} options Rejects with a Failure. */
  async enter(options) {
    const { sdkAppId = this.#options.sdkAppID, video = true, audio = true, closeLocalMedia, peerAddNotify } = this.#options;
    const { role = '', appScene, userSig = this.#options.userSig } = options;
    const roomId = Number(options.roomid ?? options.roomId ?? options.roomID);
    const userId = nameOf(options) || nameOf(this.#options);
    const { privateMapKey = options.privMapEncrypt ?? this.#options.privateMapKey ?? this.#options.privMapEncrypt } = options;
    try {
      if (!Number.isInteger(roomId) || roomId < 1) throw failure(CODE.PARAM_MISSING, 'roomid: a whole number is needed');
      if (!userId || !userSig) throw failure(CODE.PARAM_MISSING, 'createRoom: userId and userSig are needed after preconn');
      if (!this.#in) this.#userId = userId;
      this.#notice('websocket_init', {});
      this.#trtc.setRemoteAudioVolume('*', 0); // the page's own elements play the sound
      await this.#trtc.enterRoom({
        sdkAppId: Number(sdkAppId),
        userId,
        userSig,
        privateMapKey,
        roomId,
        scene: appScene === 'Live' || role === 'audience' ? 'live' : 'rtc',
        role: role === 'audience' ? 'audience' : 'anchor',
        autoReceiveAudio: !peerAddNotify,
        autoReceiveVideo: !peerAddNotify,
        enableAutoPlayDialog: false,
      });
    } catch (error) {
      const failed = failure(entryCode(/** @type {any} */ (error)), error);
      this.#emit('onCreateRoomResult', { ...failed, result: failed.errorCode });
      this.#emit('onErrorNotify', failed);
      throw failed;
    }
    this.#in = true;
    this.local.role = role;
    this.local.prefer(options.constraints ?? {});
    const result = { errorCode: 0, errorMsg: '', result: 0, roomid: roomId, userId };
    this.#emit('onCreateRoomResult', result);
    this.#remotes.look();
    const newer = appScene !== undefined || NEW_ROLES.includes(role);
    if (!newer && !closeLocalMedia && (video || audio)) this.start({}, true).catch(() => undefined);
    return result;
  }

  /** Leave; what was opened here is closed. Nothing if that has happened. */
  async quit() {
    this.#left();
    this.#leaving ??= this.#trtc.exitRoom().then(() => this.local.close());
    try {
      await this.#leaving;
    } finally {
      this.#leaving = null;
    }
  }

  /** @param {string} role a picture profile, or what one may do */
  async changeRole(role) {
    if (typeof role !== 'string' || !role) throw failure(CODE.PARAM_MISSING, 'changeSpearRole: a role is needed');
    if (role === 'anchor' || role === 'audience') {
      if (!this.#in) throw failure(CODE.NOT_INITED, 'changeSpearRole: enter a room first');
      await this.#trtc.switchRole(role);
      this.local.role = role;
    } else {
      await this.local.reshape(role);
    }
  }

  // --- who sends

  /**
   * Send, or receive one of the others.
   * @param {Peer & StartOptions} options
   * @param {boolean} aloud errors have no callback
   */
  async start(options, aloud) {
    const { stream, role = options.screenRole, screen = this.#options.screen } = options;
    this.#notice('begin_start_webrtc', {});
    try {
      const peer = this.#peer(options);
      if (peer) this.#remotes.accept(peer);
      const { video = true, audio = true } = this.#options;
      const sent = peer ? undefined : await this.local.start({ stream, role, screen }, { video, audio });
      const result = { errorCode: 0, errorMsg: '', result: 0, userId: peer || this.#userId, ...(sent && { stream: sent }) };
      this.#emit('onStartRTCResult', result);
      return result;
    } catch (error) {
      const failed = failure(CODE.START_RTC_FAILED, error);
      this.#emit('onStartRTCResult', { ...failed, result: failed.errorCode });
      if (aloud) this.#emit('onErrorNotify', failed);
      throw failed;
    }
  }

  /** @param {Peer} options */
  async stop(options) {
    const peer = this.#peer(options);
    if (!peer) await this.local.stop();
    else if (this.#remotes.sends(peer)) this.#remotes.refuse(peer);
    else throw failure(CODE.NOT_FOUND, `stopRTC: nothing is received of ${peer}`);
    return { errorCode: 0, errorMsg: '' };
  }

  /** @param {Peer} options @returns {string} '' for oneself. Throws NOT_FOUND. */
  #peer({ userId, tinyId, tinyid = tinyId, srctinyid = tinyid }) {
    const found = userId ?? (srctinyid ? this.#remotes.userOf(String(srctinyid)) : '');
    if (found === null) throw failure(CODE.NOT_FOUND, `nobody of the number ${srctinyid} sends`);
    return found === this.#userId ? '' : found;
  }

  // --- what the library says

  #listen() {
    const { EVENT } = TRTC;
    const trtc = this.#trtc;
    trtc.on(EVENT.ROOM_CHANGED, () => this.#remotes.look());
    trtc.on(EVENT.TRACK, ({ userId }) => userId && this.#remotes.look());
    trtc.on(EVENT.CONNECTION_STATE_CHANGED, ({ state }) => this.#connection.changed(state));
    trtc.on(EVENT.NETWORK_QUALITY, (quality) => this.#emit('onQualityReport', quality));
    trtc.on(EVENT.AUTOPLAY_FAILED, () => undefined); // the library's own elements are silent
    trtc.on(EVENT.PUBLISH_STATE_CHANGED, ({ state }) => state === 'started' && void this.#connection.build());
    trtc.on(EVENT.KICKED_OUT, ({ reason }) => {
      void this.quit().finally(() => this.#emit('onKickout', { userId: this.#userId, reason, type: 'kick' }));
    });
    trtc.on(EVENT.ERROR, (error) => this.#failed(error));
  }

  /** @param {any} error that no call waits for */
  #failed(error) {
    if (!this.#in) return undefined;
    if (error.code === 5300) return this.#emit('onErrorNotify', failure(CODE.GET_USERMEDIA_FAILED, error));
    if (error.reason === 'media_blocked') return void this.#connection.blocked(error);
    if (this.#trtc.getRoom()) return this.#emit('onErrorNotify', failure(CODE.CREATE_PEERCONNECTION_FAILED, error));
    if (error.reason === 'lost') return void this.#connection.closed(error.message);
    return void this.#connection.refused(error.reason === 'bad_ticket' ? CODE.TLS_VERIFY_ERROR : CODE.WS_ERROR, error);
  }

  #left() {
    if (!this.#in) return;
    this.#in = false;
    this.stats.stop();
    this.#remotes.clear();
    this.#connection.left();
  }

  /** @param {string} event @param {object} info */
  #notice(event, info) {
    this.#emit('onUserDefinedWebRTCEventNotice', { event, info });
  }
}

/** @param {{userId?: string, userID?: string, openid?: string}} options @returns {string} */
function nameOf({ userId, userID, openid }) {
  return String(userId ?? userID ?? openid ?? '');
}
