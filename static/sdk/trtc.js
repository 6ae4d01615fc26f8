// @ts-check
/**
 * The browser library: a member of a room who sends and receives. It has the shape of the TRTC v5 web library, so that
 * an application written for that one runs with the import changed; what is ours alone is marked so.
 *
 *     import TRTC from '/sdk/trtc.js';
 *     const trtc = TRTC.create();
 *     trtc.on(TRTC.EVENT.REMOTE_VIDEO_AVAILABLE, ({ userId, streamType }) =>
 *       trtc.startRemoteVideo({ userId, streamType, view: 'tile' }));
 *     await trtc.enterRoom({ sdkAppId, userId, userSig, privateMapKey, roomId: 1001 });
 *     await trtc.startLocalAudio();
 *     await trtc.startLocalVideo({ view: 'me' });
 *
 * An ES module, no build step, no dependency. This class says what there is; what it does is done by its parts.
 */

import { Call } from './call.js';
import { bytes, oneOf, percentage, text } from './checks.js';
import { capabilities, devices } from './devices.js';
import { ERROR_CODE, invalid, unsupported } from './errors.js';
import { setLogLevel } from './log.js';
import { EVENT, TYPE } from './names.js';
import { useSpeaker } from './sound.js';

/**
 * @typedef {import('./picture.js').View} View
 * @typedef {import('./checks.js').EnterRoomConfig} EnterRoomConfig
 * @typedef {import('./locals.js').LocalVideoConfig} LocalVideoConfig
 * @typedef {import('./locals.js').LocalAudioConfig} LocalAudioConfig
 * @typedef {import('./locals.js').ScreenShareConfig} ScreenShareConfig
 * @typedef {'main' | 'sub'} StreamType
 * @typedef {{
 *   userId: string, streamType?: StreamType, view?: View | View[], option?: import('./remote.js').RemoteVideoOption,
 * }} RemoteVideoConfig
 * @typedef {import('./call.js').CreateOptions} CreateOptions
 */

const CUSTOM_BYTES = 1024;

export default class TRTC {
  static EVENT = EVENT;
  static TYPE = TYPE;
  static ERROR_CODE = ERROR_CODE;

  /** @param {CreateOptions} [options] */
  static create(options = {}) {
    return new TRTC(options);
  }

  /** What this browser can do; `result` is whether it can take part in a call. */
  static async isSupported() {
    return capabilities();
  }

  /** @param {boolean} [requestPermission] open one for a moment, if their names are hidden until then */
  static getCameraList = (requestPermission = true) => devices('videoinput', requestPermission);

  /** @param {boolean} [requestPermission] */
  static getMicrophoneList = (requestPermission = true) => devices('audioinput', requestPermission);

  /** @param {boolean} [requestPermission] */
  static getSpeakerList = (requestPermission = true) => devices('audiooutput', requestPermission);

  /**
   * Play what the others say by this speaker.
   * @param {string} speakerId
   */
  static async setCurrentSpeaker(speakerId) {
    text('speakerId', speakerId);
    if (!('setSinkId' in HTMLMediaElement.prototype)) throw unsupported('this browser chooses the speaker itself');
    const known = await devices('audiooutput', false);
    if (speakerId !== 'default' && !known.some((device) => device.deviceId === speakerId)) {
      throw invalid(`speakerId: there is no speaker ${speakerId}`, 5005);
    }
    await useSpeaker(speakerId);
    Call.each((call) => call.devices.used('audiooutput', speakerId));
  }

  /** @param {number} level what the console shows: 0 trace, 1 debug, 2 info, 3 warn (as it is), 4 error, 5 nothing */
  static setLogLevel(level) {
    if (!Number.isInteger(level) || level < 0 || level > 5) throw invalid('level: 0 to 5', 5005);
    setLogLevel(level);
  }

  #call;

  /** @param {CreateOptions} options */
  constructor(options) {
    this.#call = new Call(options);
  }

  // --- the room

  /**
   * Enter a room; it is made if it is not there. Rejects with INVALID_PARAMETER, INVALID_OPERATION (in one already),
   * SERVER_ERROR (refused: see `reason`), OPERATION_FAILED (no server) or OPERATION_ABORT (exitRoom came first).
   * @param {EnterRoomConfig} config
   */
  async enterRoom(config) {
    await this.#call.enter(config);
  }

  /** Leave. The own devices stay open. */
  async exitRoom() {
    await this.#call.exit();
  }

  /**
   * In the scene "live": become an anchor, who may send, or audience again. What was sent pauses meanwhile.
   * @param {'anchor' | 'audience'} role
   * @param {{privateMapKey?: string}} [option]
   */
  async switchRole(role, option = {}) {
    oneOf('role', role, ['anchor', 'audience']);
    this.#call.need('switchRole');
    await this.#call.switchRole(role, option.privateMapKey);
  }

  /** Leave, close every device, forget every listener. */
  async destroy() {
    await this.#call.destroy();
  }

  /**
   * Ours: the room as it is now, or null outside. `urls` has this member's own `push`, `rtc`, `rtmp`, `flv`; each
   * stream has the URLs with which this member may play it.
   */
  getRoom() {
    return this.#call.describe();
  }

  // --- sending

  /** @param {LocalAudioConfig} [config] */
  async startLocalAudio(config = {}) {
    await this.#call.locals.startAudio(config);
  }

  /** @param {LocalAudioConfig} config */
  async updateLocalAudio(config) {
    await this.#call.locals.updateAudio(config);
  }

  async stopLocalAudio() {
    await this.#call.locals.stopAudio();
  }

  /** @param {LocalVideoConfig} [config] */
  async startLocalVideo(config = {}) {
    await this.#call.locals.startVideo(config);
  }

  /** @param {LocalVideoConfig} config */
  async updateLocalVideo(config) {
    await this.#call.locals.updateVideo(config);
  }

  async stopLocalVideo() {
    await this.#call.locals.stopVideo();
  }

  /** @param {ScreenShareConfig} [config] */
  async startScreenShare(config = {}) {
    await this.#call.locals.startScreen(config);
  }

  /** @param {ScreenShareConfig} config */
  async updateScreenShare(config) {
    await this.#call.locals.updateScreen(config);
  }

  async stopScreenShare() {
    await this.#call.locals.stopScreen();
  }

  // --- receiving

  /** @param {RemoteVideoConfig} config without a `view` it is received and not shown */
  async startRemoteVideo({ userId, streamType = 'main', view = null, option = {} }) {
    text('userId', userId);
    this.#call.need('startRemoteVideo');
    await this.#call.remotes.showVideo('startRemoteVideo', userId, name(streamType), view, option);
  }

  /** @param {RemoteVideoConfig} config what is left out stays as it is */
  async updateRemoteVideo({ userId, streamType = 'main', view, option = {} }) {
    text('userId', userId);
    this.#call.need('updateRemoteVideo');
    await this.#call.remotes.showVideo('updateRemoteVideo', userId, name(streamType), view, option);
  }

  /** @param {{userId: string, streamType?: StreamType}} config `userId` '*' is everybody */
  async stopRemoteVideo({ userId, streamType }) {
    text('userId', userId);
    await this.#call.remotes.hideVideo(userId, streamType && name(streamType));
  }

  /**
   * Receive somebody's sound no more, or again.
   * @param {string} userId '*' is everybody
   * @param {boolean} mute
   */
  async muteRemoteAudio(userId, mute) {
    text('userId', userId);
    this.#call.need('muteRemoteAudio');
    await this.#call.remotes.silence(userId, !!mute);
  }

  /**
   * @param {string} userId '*' is everybody
   * @param {number} volume 0..100
   */
  setRemoteAudioVolume(userId, volume) {
    text('userId', userId);
    percentage('volume', volume);
    this.#call.remotes.setVolume(userId, volume);
  }

  /**
   * AUDIO_VOLUME at this interval: everybody who sends sound, and oneself as ''.
   * @param {number} [intervalMs] at least 100; 0 or less switches it off
   * @param {boolean} [enableInBackground] while the page is hidden, too
   */
  enableAudioVolumeEvaluation(intervalMs = 2000, enableInBackground = false) {
    this.#call.volumes.start(intervalMs, enableInBackground);
  }

  /** Ours: play sound that the browser held back (AUTOPLAY_FAILED). Call it from a click; any click does it too. */
  async resumeRemoteAudio() {
    return this.#call.remotes.resume();
  }

  /**
   * @param {string | {userId?: string, streamType?: StreamType, processed?: boolean}} [whose] nothing: the own microphone
   * @returns {MediaStreamTrack | null}
   */
  getAudioTrack(whose) {
    const { userId = '', streamType = 'main', processed = false } = typeof whose === 'string' ? { userId: whose } : (whose ?? {});
    if (userId) return this.#call.remotes.track(userId, name(streamType), 'audio');
    return this.#call.sources.track(streamType === 'sub' ? 'screenAudio' : 'audio', processed);
  }

  /**
   * @param {{userId?: string, streamType?: StreamType, processed?: boolean}} [whose] nothing: the own camera
   * @returns {MediaStreamTrack | null}
   */
  getVideoTrack({ userId = '', streamType = 'main' } = {}) {
    if (userId) return this.#call.remotes.track(userId, name(streamType), 'video');
    return this.#call.sources.track(streamType === 'sub' ? 'screen' : 'video');
  }

  /**
   * The picture on the screen now as a data URL (PNG), or '' if none is shown.
   * @param {{userId?: string, streamType?: StreamType}} [whose] nothing: the own camera
   */
  getVideoSnapshot({ userId = '', streamType = 'main' } = {}) {
    return userId ? this.#call.remotes.snapshot(userId, name(streamType)) : this.#call.locals.snapshot(streamType);
  }

  // --- messages

  /**
   * A message that the server passes to the others at once and keeps nowhere; only for those who may send.
   * @param {{cmdId: number, data: ArrayBuffer}} message `cmdId` 1..10, 1 KB; 30 and 8 KB a second
   */
  async sendCustomMessage({ cmdId, data }) {
    this.#call.need('sendCustomMessage', true);
    if (!Number.isInteger(cmdId) || cmdId < 1 || cmdId > 10) throw invalid('cmdId: a whole number from 1 to 10', 5005);
    return this.#call.chat.custom(cmdId, bytes(data, CUSTOM_BYTES));
  }

  /**
   * Send bytes with the next picture. Throws INVALID_PARAMETER, INVALID_OPERATION (no picture is sent, or SEI is not
   * enabled), ENV_NOT_SUPPORTED or OPERATION_FAILED (`reason` "too_many").
   * @param {ArrayBuffer} buffer 1 KB; 30 and 8 KB a second
   * @param {{seiPayloadType?: number, toSubStream?: boolean}} [option] 243 (as it is), or 5 with a UUID in front
   */
  sendSEIMessage(buffer, option = {}) {
    this.#call.need('sendSEIMessage', true);
    this.#call.sendSei(buffer, option);
  }

  /**
   * Ours: say something to everybody, or to one member.
   * @param {string} words
   * @param {{to?: string}} [option]
   */
  async sendTextMessage(words, { to } = {}) {
    return this.#call.chat.sendText(words, to);
  }

  /**
   * Ours: send a message of the instant-messaging shape (docs/protocol.md).
   * @param {import('./chat.js').Element[]} body
   * @param {{to?: string}} [option]
   */
  async sendGroupMessage(body, { to } = {}) {
    return this.#call.chat.sendGroup(body, to);
  }

  /** Ours: the messages known so far, in order. */
  getMessages() {
    return this.#call.chat.messages();
  }

  /**
   * Ours: older messages, from the server.
   * @param {{before?: number, count?: number}} [option] those with a `seq` below `before`
   */
  async getHistory({ before, count = 50 } = {}) {
    return this.#call.chat.history({ before, count });
  }

  // --- moderating, for the room's creator and the administrators

  /**
   * Ours: throw a member out. As all calls of this section it rejects with SERVER_ERROR, `reason` "not_permitted", if
   * this member may not do it to that one.
   * @param {string} userId
   */
  async kickUser(userId) {
    this.#call.need('kickUser');
    await this.#call.moderation.kick(userId);
  }

  /**
   * Ours: throw a member out for good, or for so many seconds.
   * @param {string} userId
   * @param {{seconds?: number, reason?: string}} [option]
   */
  async banUser(userId, option = {}) {
    this.#call.need('banUser');
    await this.#call.moderation.ban(userId, option);
  }

  /** Ours: let a banned user come back. @param {string} userId */
  async unbanUser(userId) {
    this.#call.need('unbanUser');
    await this.#call.moderation.unban(userId);
  }

  /**
   * Ours: mute (true) or unmute (false) what a member sends and writes; what is left out stays as it is.
   * @param {string} userId '*' is everybody but moderators, those who come later too
   * @param {import('./moderation.js').MuteOption} option `seconds`: how long, for one member
   */
  async muteUser(userId, option) {
    this.#call.need('muteUser');
    await this.#call.moderation.mute(userId, option);
  }

  /** Ours: end the room for all. Everybody in it gets KICKED_OUT with the reason "room_disband". */
  async dismissRoom() {
    this.#call.need('dismissRoom');
    await this.#call.moderation.dismiss();
  }

  // --- what goes on

  /**
   * Ours: what the server does with a stream, for a debug panel.
   * @param {{userId: string, streamType?: StreamType}} whose
   */
  async inspect({ userId, streamType = 'main' }) {
    text('userId', userId);
    this.#call.need('inspect');
    return this.#call.signaling.request('inspect', { userId, stream: name(streamType) });
  }

  /** Ours: the last STATISTICS and NETWORK_QUALITY, or null in place of each before the first. */
  getNetwork() {
    const { statistics, quality } = this.#call.statistics;
    return statistics && quality ? { statistics, quality } : null;
  }

  /** Ours: the statistics of both connections as the browser has them, for a page's own display. */
  async getStats() {
    return { up: await this.#call.up.connection?.getStats(), down: await this.#call.down.connection?.getStats() };
  }

  /**
   * @param {string} event one of TRTC.EVENT
   * @param {(detail: any) => void} handler
   * @param {unknown} [context]
   */
  on(event, handler, context) {
    this.#call.events.on(event, handler, context);
    return this;
  }

  /**
   * @param {string} event '*' takes all away
   * @param {(detail: any) => void} [handler]
   * @param {unknown} [context]
   */
  off(event, handler, context) {
    this.#call.events.off(event, handler, context);
    return this;
  }

  // --- pushed on to elsewhere

  /**
   * Ours: let the server push an own stream on to an `rtmp://` address that its operator allows. Resolves when the
   * server there takes it; rejects with SERVER_ERROR (not allowed) or OPERATION_FAILED (`reason`: see
   * RELAY_STATE_CHANGED). Another address for the same stream takes the place of the first.
   * @param {{url: string, streamType?: StreamType}} config
   */
  async startRelay({ url, streamType = 'main' }) {
    text('url', url);
    this.#call.need('startRelay', true);
    await this.#call.relays.start(name(streamType), url);
  }

  /**
   * Ours.
   * @param {{streamType?: StreamType}} [config]
   */
  async stopRelay({ streamType = 'main' } = {}) {
    this.#call.need('stopRelay');
    await this.#call.relays.stop(name(streamType));
  }

  /** Ours: the relays of the own streams as they stand. */
  getRelays() {
    return this.#call.relays.list;
  }

  /**
   * @param {string} plugin 'CDNStreaming', which is startRelay; others reject with ENV_NOT_SUPPORTED
   * @param {import('./relay.js').CdnOptions} [option]
   */
  async startPlugin(plugin, option) {
    if (plugin === 'CDNStreaming') this.#call.need('startPlugin', true);
    await this.#call.relays.startPlugin(plugin, option);
  }

  /** @param {string} plugin @param {import('./relay.js').CdnOptions} [option] */
  async updatePlugin(plugin, option) {
    await this.startPlugin(plugin, option);
  }

  /** @param {string} plugin @param {import('./relay.js').CdnOptions} [option] */
  async stopPlugin(plugin, option) {
    await this.#call.relays.stopPlugin(plugin, option);
  }
}

/** @param {StreamType} streamType @returns {'main' | 'aux'} */
function name(streamType) {
  oneOf('streamType', streamType, ['main', 'sub']);
  return streamType === 'sub' ? 'aux' : 'main';
}
