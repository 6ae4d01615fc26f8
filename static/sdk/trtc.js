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
 * An ES module, no build step, no dependency. The only DOM it owns is the media elements inside a `view`.
 */

import { Chat } from './chat.js';
import { ERROR_CODE, RtcError, invalid, isLost, misuse } from './errors.js';
import { Picture, captureCamera, captureMicrophone, captureScreen, devices, videoProfile } from './local.js';
import { EVENT, TYPE } from './names.js';
import { DownPeer, UpPeer } from './peers.js';
import { Remotes } from './remote.js';
import { Signaling } from './signaling.js';
import { Sources } from './sources.js';

/**
 * @typedef {import('./local.js').View} View
 * @typedef {import('./local.js').VideoOption} VideoOption
 * @typedef {import('./local.js').AudioOption} AudioOption
 * @typedef {import('./signaling.js').Message} Message
 * @typedef {'main' | 'sub'} StreamType
 * @typedef {'DISCONNECTED' | 'CONNECTING' | 'CONNECTED'} ConnectionState
 * @typedef {{server?: string, url?: string, codecs?: string[]}} CreateOptions all ours: `server` is the origin of the
 *   gateway, such as https://gw.example.com (default: where this file came from), `url` the exact address of its
 *   signaling, `codecs` those to send pictures in, by preference (default H264, VP8)
 * @typedef {{
 *   sdkAppId?: number, userId: string, userSig?: string, privateMapKey?: string, roomId?: number, strRoomId?: string,
 *   scene?: 'rtc' | 'live', role?: 'anchor' | 'audience', nick?: string,
 *   autoReceiveAudio?: boolean, autoReceiveVideo?: boolean,
 * }} EnterRoomConfig `nick` is ours
 * @typedef {{view?: View | View[], publish?: boolean, mute?: boolean, option?: VideoOption}} LocalVideoConfig
 * @typedef {{publish?: boolean, mute?: boolean, option?: AudioOption}} LocalAudioConfig
 */

/** @type {EventTarget | undefined} of browsers that tell about the network */
const networkInformation = /** @type {any} */ (navigator).connection;

export default class TRTC {
  static EVENT = EVENT;
  static TYPE = TYPE;
  static ERROR_CODE = ERROR_CODE;

  /**
   * @param {CreateOptions} [options]
   */
  static create(options = {}) {
    return new TRTC(options);
  }

  /** @returns {Promise<{result: boolean, detail: Record<string, boolean>}>} */
  static async isSupported() {
    const detail = {
      isBrowserSupported: typeof RTCPeerConnection === 'function' && typeof WebSocket === 'function',
      isWebRTCSupported: typeof RTCPeerConnection === 'function',
      isMediaDevicesSupported: !!navigator.mediaDevices?.getUserMedia,
      isScreenShareSupported: !!navigator.mediaDevices?.getDisplayMedia,
      isH264EncodeSupported: sends('video/H264'),
      isVp8EncodeSupported: sends('video/VP8'),
    };
    return { result: detail.isWebRTCSupported && detail.isMediaDevicesSupported, detail };
  }

  static getCameraList = () => devices('videoinput');
  static getMicrophoneList = () => devices('audioinput');
  static getSpeakerList = () => devices('audiooutput');

  /** @type {Map<string, Set<{handler: (detail: any) => void, context: unknown}>>} */
  #listeners = new Map();
  /** @type {Signaling} */
  #signaling;
  #chat;
  #up;
  #down;
  #remotes;
  #sources;
  #preview = new Picture();
  #screenPreview = new Picture();
  /** @type {ConnectionState} */
  #state = 'DISCONNECTED';
  /** @type {Message | null} the last `entered` */
  #room = null;
  #volumeEvents = false;
  #networkChanged = () => this.#newNetwork();

  /** @param {CreateOptions} options */
  constructor({ server, url, codecs = ['H264', 'VP8'] }) {
    const address = new URL(url ?? '/signaling', server ?? import.meta.url);
    address.protocol = address.protocol.replace(/^http/, 'ws');
    this.#signaling = new Signaling(address.href, {
      onState: (state, error) => this.#signalingState(state, error),
      onEntered: (entered, again) => this.#entered(entered, again),
      onMessage: (message) => this.#message(message),
      kept: () => this.#kept(),
      chat: () => this.#chat.enterFields(),
    });
    this.#chat = new Chat({
      request: (type, fields) => this.#signaling.request(type, fields),
      emit: (event, detail) => this.#emit(event, detail),
      isIn: () => this.#room !== null,
      userId: () => this.#room?.userId ?? '',
    });
    const changed = () => this.#updateState();
    this.#up = new UpPeer(this.#signaling, codecs, {
      changed,
      failed: (error) => this.#emit(EVENT.ERROR, error),
      channel: (channel) => this.#chat.channel(channel),
    });
    this.#remotes = new Remotes(
      (type, fields) => this.#signaling.request(type, fields),
      (event, detail) => this.#emit(event, detail),
    );
    this.#down = new DownPeer(this.#signaling, { changed, slots: (slots) => this.#remotes.slots(slots) });
    this.#sources = new Sources(this.#up, {
      isIn: () => this.#room !== null,
      mute: (stream, kind, muted) => this.#signaling.request('mute', { stream, kind, muted }),
      taken: (source, error) => this.#deviceTaken(source, error),
    });
    addEventListener('online', this.#networkChanged);
    networkInformation?.addEventListener('change', this.#networkChanged);
  }

  // --- the room

  /** @param {EnterRoomConfig} config */
  async enterRoom(config) {
    const { userId, userSig = '', privateMapKey = '', sdkAppId, roomId, strRoomId, nick } = config;
    if (this.#signaling.state !== 'closed') throw misuse('enterRoom: this instance is in a room already');
    if (!/^[A-Za-z0-9_-]{1,32}$/.test(userId ?? '')) throw invalid('userId: 1 to 32 of A-Z a-z 0-9 _ - are needed');
    /** @type {Message} */
    const ticket = { userId, userSig, privateMapKey, role: config.role ?? 'anchor' };
    if (roomId) ticket.roomId = Number(roomId);
    else if (strRoomId) ticket.strRoomId = String(strRoomId);
    else throw invalid('roomId or strRoomId is needed');
    if (sdkAppId) ticket.sdkAppId = Number(sdkAppId);
    if (nick) ticket.nick = nick;
    this.#remotes.autoAudio = config.autoReceiveAudio ?? true;
    this.#remotes.autoVideo = config.autoReceiveVideo ?? false;
    await this.#signaling.enter(ticket);
  }

  async exitRoom() {
    await this.#signaling.leave();
    this.#gone();
  }

  /**
   * @param {'anchor' | 'audience'} role
   * @param {{privateMapKey?: string}} [option]
   */
  async switchRole(role, { privateMapKey } = {}) {
    await this.#signaling.request('role', privateMapKey ? { role, privateMapKey } : { role });
  }

  /** Leave, close every device, forget every listener. */
  async destroy() {
    await this.exitRoom();
    this.#preview.remove();
    this.#screenPreview.remove();
    this.#sources.close();
    this.#listeners.clear();
    removeEventListener('online', this.#networkChanged);
    networkInformation?.removeEventListener('change', this.#networkChanged);
  }

  /**
   * Ours: the room as it is now, or null outside. `urls` has this member's own `push`, `rtc`, `rtmp`, `flv`; each
   * stream has the URLs with which this member may play it.
   */
  getRoom() {
    if (!this.#room) return null;
    const { userId, roomId, strRoomId, role, privileges, urls, dev } = this.#room;
    const { members, streams } = this.#remotes;
    return { userId, roomId, strRoomId, role, privileges, urls, dev: !!dev, members, streams };
  }

  // --- sending

  /** @param {LocalAudioConfig} [config] */
  async startLocalAudio({ publish = true, mute = false, option = {} } = {}) {
    if (this.#sources.has('audio')) throw misuse('startLocalAudio: the microphone is on already');
    const track = await captureMicrophone(option);
    await this.#sources.start('audio', { track, own: !option.audioTrack, publish, mute, bitrateKbps: 0 });
  }

  /** @param {LocalAudioConfig} config */
  async updateLocalAudio({ publish, mute, option }) {
    if (option?.microphoneId || option?.audioTrack) {
      await this.#sources.replace('audio', await captureMicrophone(option), !option.audioTrack);
    }
    await this.#sources.update('audio', publish, mute);
  }

  async stopLocalAudio() {
    await this.#sources.stop('audio');
  }

  /** @param {LocalVideoConfig} [config] */
  async startLocalVideo({ view, publish = true, mute = false, option = {} } = {}) {
    if (this.#sources.has('video')) throw misuse('startLocalVideo: the camera is on already');
    const track = await captureCamera(option);
    this.#preview.show(view, look(option, !option.videoTrack));
    this.#preview.play(track);
    const { bitrate } = videoProfile(option.profile);
    await this.#sources.start('video', { track, own: !option.videoTrack, publish, mute, bitrateKbps: bitrate });
  }

  /** @param {LocalVideoConfig} config */
  async updateLocalVideo({ view, publish, mute, option }) {
    if (view !== undefined) this.#preview.show(view, look(option ?? {}, this.#sources.owns('video')));
    if (option?.cameraId || option?.videoTrack || option?.useFrontCamera !== undefined) {
      const track = await captureCamera(option);
      await this.#sources.replace('video', track, !option.videoTrack);
      this.#preview.play(track);
    }
    await this.#sources.update('video', publish, mute);
  }

  async stopLocalVideo() {
    this.#preview.remove();
    await this.#sources.stop('video');
  }

  /**
   * @param {{view?: View | View[], publish?: boolean, option?: VideoOption & {systemAudio?: boolean, audioTrack?: MediaStreamTrack}}} [config]
   */
  async startScreenShare({ view, publish = true, option = {} } = {}) {
    if (this.#sources.has('screen')) throw misuse('startScreenShare: the screen is shared already');
    const { video, audio } = await captureScreen(option);
    video.contentHint = 'detail';
    const own = !option.videoTrack;
    this.#screenPreview.show(view, look({ fillMode: 'contain', ...option }, false));
    this.#screenPreview.play(video);
    const { bitrate } = videoProfile(option.profile, '1080p');
    if (audio) await this.#sources.start('screenAudio', { track: audio, own, publish, mute: false, bitrateKbps: 0 });
    await this.#sources.start('screen', { track: video, own, publish, mute: false, bitrateKbps: bitrate });
  }

  async stopScreenShare() {
    this.#screenPreview.remove();
    await this.#sources.stop('screenAudio');
    await this.#sources.stop('screen');
  }

  /** @param {{view?: View | View[], publish?: boolean, option?: VideoOption}} config */
  async updateScreenShare({ view, publish, option }) {
    if (!this.#sources.has('screen')) throw misuse('updateScreenShare: no screen is shared');
    if (view !== undefined) this.#screenPreview.show(view, look({ fillMode: 'contain', ...option }, false));
    if (publish !== undefined) {
      if (this.#sources.has('screenAudio')) await this.#sources.update('screenAudio', publish, undefined);
      await this.#sources.update('screen', publish, undefined);
    }
  }

  // --- receiving

  /** @param {{userId: string, streamType?: StreamType, view?: View | View[], option?: VideoOption}} config */
  async startRemoteVideo({ userId, streamType = 'main', view, option = {} }) {
    const stream = name(streamType);
    await this.#remotes.showVideo(userId, stream, view, look({ fillMode: stream === 'aux' ? 'contain' : 'cover', ...option }, false));
  }

  /** @param {{userId: string, streamType?: StreamType, view?: View | View[], option?: VideoOption}} config */
  async updateRemoteVideo(config) {
    await this.startRemoteVideo(config);
  }

  /** @param {{userId: string, streamType?: StreamType}} config `userId` '*' is everybody */
  async stopRemoteVideo({ userId, streamType }) {
    await this.#remotes.hideVideo(userId, streamType && name(streamType));
  }

  /**
   * @param {string} userId '*' is everybody
   * @param {boolean} mute
   */
  async muteRemoteAudio(userId, mute) {
    await this.#remotes.silence(userId, mute);
  }

  /**
   * @param {string} userId '*' is everybody
   * @param {number} volume 0..100
   */
  setRemoteAudioVolume(userId, volume) {
    this.#remotes.setVolume(userId, volume);
  }

  /** @param {number} [intervalMs] 0 or less switches AUDIO_VOLUME off; the server sets the pace */
  enableAudioVolumeEvaluation(intervalMs = 2000) {
    this.#volumeEvents = intervalMs > 0;
  }

  /** Ours: play sound that the browser held back (AUTOPLAY_FAILED). Call it from a click; any click does it too. */
  async resumeRemoteAudio() {
    return this.#remotes.resume();
  }

  /** @param {string | {userId?: string, streamType?: StreamType}} [whose] nothing: the own microphone */
  getAudioTrack(whose) {
    const { userId = '', streamType = 'main' } = typeof whose === 'string' ? { userId: whose } : (whose ?? {});
    if (userId) return this.#remotes.track(userId, name(streamType), 'audio');
    return this.#sources.track(streamType === 'sub' ? 'screenAudio' : 'audio');
  }

  /** @param {{userId?: string, streamType?: StreamType}} [whose] nothing: the own camera */
  getVideoTrack({ userId = '', streamType = 'main' } = {}) {
    if (userId) return this.#remotes.track(userId, name(streamType), 'video');
    return this.#sources.track(streamType === 'sub' ? 'screen' : 'video');
  }

  // --- messages

  /**
   * A message that the server passes to the others at once and keeps nowhere; only for those who may send.
   * @param {{cmdId: number, data: ArrayBuffer}} message `cmdId` 1..10, at most 1 KB
   */
  async sendCustomMessage({ cmdId, data }) {
    return this.#chat.custom(cmdId, data);
  }

  /**
   * Ours: say something to everybody, or to one member.
   * @param {string} text
   * @param {{to?: string}} [option]
   */
  async sendTextMessage(text, { to } = {}) {
    return this.#chat.sendText(text, to);
  }

  /**
   * Ours: send a message of the instant-messaging shape (docs/protocol.md).
   * @param {import('./chat.js').Element[]} body
   * @param {{to?: string}} [option]
   */
  async sendGroupMessage(body, { to } = {}) {
    return this.#chat.sendGroup(body, to);
  }

  /** Ours: the messages known so far, in order. */
  getMessages() {
    return this.#chat.messages();
  }

  /**
   * Ours: older messages, from the server.
   * @param {{before?: number, count?: number}} [option] those with a `seq` below `before`
   */
  async getHistory({ before, count = 50 } = {}) {
    return this.#chat.history({ before, count });
  }

  /**
   * Ours: what the server does with a stream, for a debug panel.
   * @param {{userId: string, streamType?: StreamType}} whose
   */
  async inspect({ userId, streamType = 'main' }) {
    return this.#signaling.request('inspect', { userId, stream: name(streamType) });
  }

  /** Ours: the statistics of both connections as the browser has them, for a page's own display. */
  async getStats() {
    return { up: await this.#up.connection?.getStats(), down: await this.#down.connection?.getStats() };
  }

  // --- events

  /**
   * @param {string} event one of TRTC.EVENT
   * @param {(detail: any) => void} handler
   * @param {unknown} [context]
   */
  on(event, handler, context) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event)?.add({ handler, context });
    return this;
  }

  /**
   * @param {string} event '*' takes all away
   * @param {(detail: any) => void} [handler]
   */
  off(event, handler) {
    if (event === '*') this.#listeners.clear();
    for (const entry of this.#listeners.get(event) ?? []) {
      if (!handler || entry.handler === handler) this.#listeners.get(event)?.delete(entry);
    }
    return this;
  }

  /**
   * @param {string} event
   * @param {unknown} [detail]
   */
  #emit(event, detail) {
    for (const { handler, context } of [...(this.#listeners.get(event) ?? [])]) {
      try {
        handler.call(context, detail);
      } catch (error) {
        console.error(error);
      }
    }
  }

  // --- what the server says

  /**
   * @param {Message} entered
   * @param {boolean} again after the connection was lost
   */
  #entered(entered, again) {
    const kept = new Set(again ? entered.kept : []);
    this.#room = entered;
    this.#chat.entered(entered, again);
    if (kept.has('down')) this.#down.restart();
    else this.#down.drop();
    this.#remotes.entered(/** @type {any} */ (entered));
    if (kept.has('up')) this.#up.restart();
    const sending = kept.has('up') ? this.#sources.resendMutes() : this.#sources.resend();
    sending.catch((error) => this.#trouble(error));
    this.#emit(EVENT.ROOM_CHANGED, this.getRoom());
  }

  /** @returns {('up' | 'down')[]} */
  #kept() {
    /** @type {('up' | 'down')[]} */
    const kept = [];
    if (living(this.#up.connectionState)) kept.push('up');
    if (living(this.#down.connectionState)) kept.push('down');
    return kept;
  }

  /** @param {Message} message */
  #message(message) {
    if (this.#chat.message(message)) return;
    if (this.#remotes.message(message)) {
      this.#emit(EVENT.ROOM_CHANGED, this.getRoom());
      return;
    }
    const streamType = message.stream === 'aux' ? 'sub' : 'main';
    switch (message.t) {
      case 'offer':
        void this.#down.offered(/** @type {any} */ (message));
        break;
      case 'closed':
        if (message.direction === 'down') this.#down.rebuild();
        else this.#sources.resend().catch((error) => this.#trouble(error));
        break;
      case 'kicked':
        this.#signaling.close();
        this.#gone();
        this.#emit(EVENT.KICKED_OUT, {
          reason: message.reason === 'replaced' ? 'kick' : message.reason,
          detail: message.reason,
        });
        break;
      case 'speaking':
        if (this.#volumeEvents) this.#emit(EVENT.AUDIO_VOLUME, { result: message.users.map(volume) });
        break;
      case 'pause': {
        const state = message.paused ? 'PAUSED' : 'PLAYING';
        if (message.kind === 'video') {
          this.#emit(EVENT.VIDEO_PLAY_STATE_CHANGED, { userId: message.userId, streamType, state, reason: 'network' });
        }
        break;
      }
      case 'notice':
        this.#emit(EVENT.NOTICE, { userId: message.userId, streamType, message: message.message });
        break;
      default: // a newer server
    }
  }

  /**
   * @param {import('./signaling.js').SignalingState} state
   * @param {RtcError} [error]
   */
  #signalingState(state, error) {
    if (state === 'closed' && error) {
      this.#gone();
      this.#emit(EVENT.ERROR, error);
    }
    this.#updateState();
  }

  /** @param {RtcError} error of something that nobody waits for */
  #trouble(error) {
    if (!isLost(error)) this.#emit(EVENT.ERROR, error);
  }

  /** Another network, as when a phone leaves the house: find a way through it before the old one is missed. */
  #newNetwork() {
    if (this.#signaling.state === 'reconnecting') this.#signaling.hurry();
    if (this.#signaling.state !== 'open') return;
    this.#up.restart();
    this.#down.restart();
  }

  /** The room is over for us; the own devices stay open, as in the library we resemble. */
  #gone() {
    this.#room = null;
    this.#chat.left();
    this.#up.close();
    this.#down.drop();
    this.#remotes.clear();
    this.#updateState();
    this.#emit(EVENT.ROOM_CHANGED, null);
  }

  /**
   * @param {import('./sources.js').Source} source
   * @param {RtcError} error
   */
  #deviceTaken(source, error) {
    if (source === 'screen') {
      void this.stopScreenShare();
      this.#emit(EVENT.SCREEN_SHARE_STOPPED);
    } else if (source !== 'screenAudio') {
      if (source === 'video') this.#preview.remove();
      void this.#sources.stop(source);
      this.#emit(EVENT.ERROR, error);
    }
  }

  #updateState() {
    const broken = [this.#up.connectionState, this.#down.connectionState].some((state) =>
      ['disconnected', 'failed'].includes(state),
    );
    /** @type {ConnectionState} */
    let state = 'CONNECTING';
    if (this.#signaling.state === 'closed') state = 'DISCONNECTED';
    else if (this.#signaling.state === 'open' && !broken) state = 'CONNECTED';
    if (state === this.#state) return;
    const prevState = this.#state;
    this.#state = state;
    this.#emit(EVENT.CONNECTION_STATE_CHANGED, { prevState, state });
  }
}

/** @param {string} mimeType */
const sends = (mimeType) => !!globalThis.RTCRtpSender?.getCapabilities?.('video')?.codecs.some((codec) => codec.mimeType === mimeType);

/** @param {string} state */
const living = (state) => ['connecting', 'connected', 'disconnected'].includes(state);

/** @param {StreamType} streamType @returns {'main' | 'aux'} */
const name = (streamType) => (streamType === 'sub' ? 'aux' : 'main');

/** @param {{userId: string, level: number}} user */
const volume = ({ userId, level }) => ({ userId, volume: level });

/**
 * @param {VideoOption} option
 * @param {boolean} mirrored
 */
const look = (option, mirrored) => ({
  fillMode: option.fillMode,
  mirror: option.mirror === undefined ? mirrored : option.mirror === true || option.mirror === 'view' || option.mirror === 'both',
});
