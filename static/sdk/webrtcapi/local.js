// @ts-check
/**
 * The own stream: captured here or given by the page, sent, muted, moved to other devices.
 *
 * The page's `MediaStream` stays the same object over a change of device. What changes it goes one after the other.
 */

import { CODE, failure } from './codes.js';

/**
 * @typedef {import('../trtc.js').default} Trtc
 * @typedef {'audio' | 'video'} Kind
 * @typedef {{
 *   audio?: boolean, video?: boolean, role?: string, screen?: boolean, videoDevice?: MediaDeviceInfo, audioDevice?: MediaDeviceInfo,
 *   attributes?: {width?: number, height?: number, frameRate?: number}, screenSources?: unknown,
 * }} CaptureOptions `screenSources` has no effect: the browser asks its user
 * @typedef {{width: number, height: number, frameRate: number, bitrate: number}} Profile kbit/s
 */

/** @type {Profile} */
const DEFAULT_PROFILE = { width: 640, height: 480, frameRate: 15, bitrate: 800 };
const FLAT_PROFILE = { ...DEFAULT_PROFILE, height: 368, bitrate: 600 };
/** @type {Map<string, Profile>} what a console named otherwise than by the width (`wp1280`, `ed960`, …) */
const NAMED = new Map([
  ['user', FLAT_PROFILE],
  ['miniwhite', FLAT_PROFILE],
]);
/** @type {Map<string, Profile>} by the width that a name ends with */
const BY_WIDTH = new Map([
  ['320', { ...DEFAULT_PROFILE, width: 320, height: 240, bitrate: 400 }],
  ['480', { ...DEFAULT_PROFILE, width: 480, height: 360, bitrate: 600 }],
  ['960', { ...DEFAULT_PROFILE, width: 960, height: 540, bitrate: 1200 }],
  ['1280', { ...DEFAULT_PROFILE, width: 1280, height: 720, bitrate: 1500 }],
  ['1920', { ...DEFAULT_PROFILE, width: 1920, height: 1080, bitrate: 2000 }],
]);

/** @param {string} role @returns {Profile} */
const profile = (role) => NAMED.get(role) ?? BY_WIDTH.get(/\d*$/.exec(role)?.[0] ?? '') ?? DEFAULT_PROFILE;

export class Local {
  #trtc;
  #on;
  /** the name of the picture profile, or `anchor` */
  role = '';
  /** @type {MediaStream | null} the one that is sent */
  stream = null;
  /** @type {MediaStream | null} the one that was sent or captured last */
  #last = null;
  /** @type {Set<MediaStreamTrack>} those that we opened ourselves */
  #captured = new Set();
  /** @type {WeakSet<MediaStreamTrack>} those whose end is heard */
  #watched = new WeakSet();
  #sending = { audio: false, video: false };
  #open = { audio: true, video: true };
  /** @type {{audio?: MediaDeviceInfo, video?: MediaDeviceInfo}} */
  #device = {};
  /** @type {Promise<unknown>} */
  #turn = Promise.resolve();

  /**
   * @param {Trtc} trtc
   * @param {{emit: (name: string, detail: object) => void, isIn: () => boolean, userId: () => string}} on
   */
  constructor(trtc, on) {
    this.#trtc = trtc;
    this.#on = on;
  }

  status() {
    return { video: this.#sending.video && this.#open.video, audio: this.#sending.audio && this.#open.audio };
  }

  /** Devices for the next capture. @param {{video?: MediaDeviceInfo, audio?: MediaDeviceInfo}} devices */
  prefer({ video, audio }) {
    if (video?.deviceId) this.#device.video = video;
    if (audio?.deviceId) this.#device.audio = audio;
  }

  /** @param {CaptureOptions} options @returns {Promise<MediaStream>} Rejects with GET_USERMEDIA_FAILED. */
  async capture({ audio = true, video = true, role = this.role, screen, videoDevice, audioDevice, attributes = {} }) {
    const { width, height, frameRate } = { ...profile(role), ...attributes };
    const camera = (videoDevice ?? this.#device.video)?.deviceId;
    const microphone = (audioDevice ?? this.#device.audio)?.deviceId;
    let stream;
    try {
      if (!navigator.mediaDevices) throw new Error('this origin is insecure: the browser gives no camera');
      stream = screen
        ? await navigator.mediaDevices.getDisplayMedia({ video: { ...attributes }, audio })
        : await navigator.mediaDevices.getUserMedia({
            video: video && { width, height, frameRate, ...(camera && { deviceId: { exact: camera } }) },
            audio: audio && { echoCancellation: true, ...(microphone && { deviceId: { exact: microphone } }) },
          });
    } catch (error) {
      throw failure(CODE.GET_USERMEDIA_FAILED, error);
    }
    for (const track of stream.getTracks()) this.#captured.add(track);
    this.#last = stream;
    return stream;
  }

  /**
   * Send `stream`, else the one captured before, else a new one; `screen`: always a new one, of the screen.
   * @param {{stream?: MediaStream, role?: string, screen?: boolean}} options
   * @param {{video: boolean, audio: boolean}} wanted of a new one
   * @returns {Promise<MediaStream>}
   */
  start({ stream, role = this.role, screen = false }, wanted) {
    return this.#inTurn(async () => {
      if (!this.#on.isIn()) throw failure(CODE.NOT_INITED, 'startRTC: enter a room first');
      const before = screen ? null : this.#last;
      const sent = stream ?? before ?? (await this.capture({ role, screen, ...wanted }));
      await this.#send(sent, role);
      return sent;
    });
  }

  /** @param {{stream?: MediaStream, role?: string}} options @returns {Promise<void>} */
  update({ stream, role = this.role }) {
    return this.#inTurn(async () => {
      if (!stream) throw failure(CODE.PARAM_MISSING, 'updateStream: a stream is needed');
      if (!this.#on.isIn()) throw failure(CODE.NOT_INITED, 'updateStream: enter a room first');
      await this.#send(stream, role);
    });
  }

  /** Send no more; the stream stays open. @returns {Promise<void>} */
  stop() {
    return this.#inTurn(() => this.#unsend());
  }

  /** Send no more, and close what was opened here. @returns {Promise<void>} */
  close() {
    return this.#inTurn(async () => {
      await this.#unsend();
      for (const track of this.#captured) track.stop();
      this.#captured.clear();
      this.#last = null;
    });
  }

  /** @param {string} role the name of another picture profile */
  async reshape(role) {
    this.role = role;
    if (this.#sending.video) await this.#trtc.updateLocalVideo({ option: { profile: profile(role) } });
  }

  /** @param {Kind} kind @param {boolean} muted remembered, if nothing is sent yet @returns {Promise<void>} */
  mute(kind, muted) {
    this.#open[kind] = !muted;
    return this.#inTurn(async () => {
      const mute = !this.#open[kind];
      if (kind === 'audio' && this.#sending.audio) await this.#trtc.updateLocalAudio({ mute });
      if (kind === 'video' && this.#sending.video) await this.#trtc.updateLocalVideo({ mute });
    });
  }

  /** @param {Kind} kind @param {MediaDeviceInfo} device @returns {Promise<void>} */
  choose(kind, device) {
    return this.#inTurn(async () => {
      if (!device?.deviceId) throw failure(CODE.PARAM_MISSING, 'a device of the list is needed');
      const stream = this.#last;
      const before = stream?.getTracks().find((track) => track.kind === kind);
      if (stream && before) await this.#replace(stream, before, await this.#opened(kind, device.deviceId));
      this.#device[kind] = device;
    });
  }

  /** @param {Kind} kind @param {string} id @returns {Promise<MediaStreamTrack>} */
  async #opened(kind, id) {
    const deviceId = { exact: id };
    const { width, height, frameRate } = profile(this.role);
    const asked = kind === 'audio' ? { audio: { deviceId, echoCancellation: true } } : { video: { deviceId, width, height, frameRate } };
    const [track] = (await navigator.mediaDevices.getUserMedia(asked)).getTracks();
    if (!track) throw failure(CODE.NOT_FOUND, 'the device gives nothing');
    return track;
  }

  /** @param {MediaStream} stream @param {MediaStreamTrack} before @param {MediaStreamTrack} track */
  async #replace(stream, before, track) {
    if (track.kind === 'audio' && this.#sending.audio) await this.#trtc.updateLocalAudio({ option: { audioTrack: track } });
    if (track.kind === 'video' && this.#sending.video) await this.#trtc.updateLocalVideo({ option: { videoTrack: track } });
    stream.removeTrack(before);
    stream.addTrack(track);
    if (this.#captured.delete(before)) before.stop();
    this.#captured.add(track);
    if (this.stream !== stream) return;
    this.#watch(stream);
    this.#on.emit('onLocalStreamAdd', { stream });
  }

  /** @param {MediaStream} stream @param {string} role */
  async #send(stream, role) {
    if (this.stream !== stream) this.#become(stream);
    try {
      await this.#sendAudio(stream.getAudioTracks()[0]);
      await this.#sendVideo(stream.getVideoTracks()[0], role);
    } finally {
      if (!this.#sending.audio && !this.#sending.video) this.stream = null;
    }
  }

  /** @param {MediaStreamTrack | undefined} audioTrack */
  async #sendAudio(audioTrack) {
    if (audioTrack && this.#sending.audio) await this.#trtc.updateLocalAudio({ option: { audioTrack } });
    else if (audioTrack) await this.#trtc.startLocalAudio({ mute: !this.#open.audio, option: { audioTrack } });
    else if (this.#sending.audio) await this.#trtc.stopLocalAudio();
    this.#sending.audio = !!audioTrack;
  }

  /** @param {MediaStreamTrack | undefined} videoTrack @param {string} role */
  async #sendVideo(videoTrack, role) {
    const option = { videoTrack, profile: profile(role), mirror: false };
    if (videoTrack && this.#sending.video) await this.#trtc.updateLocalVideo({ option });
    else if (videoTrack) await this.#trtc.startLocalVideo({ mute: !this.#open.video, option });
    else if (this.#sending.video) await this.#trtc.stopLocalVideo();
    this.#sending.video = !!videoTrack;
  }

  async #unsend() {
    if (this.#sending.audio) await this.#trtc.stopLocalAudio();
    this.#sending.audio = false;
    if (this.#sending.video) await this.#trtc.stopLocalVideo();
    this.#sending.video = false;
    this.stream = null;
  }

  /** The page is shown its own stream before it is sent. @param {MediaStream} stream */
  #become(stream) {
    this.stream = this.#last = stream;
    this.#watch(stream);
    this.#on.emit('onLocalStreamAdd', { stream });
    this.#notify('onadd', stream, stream.getVideoTracks().length ? 'video' : 'audio');
  }

  /** Hear when a track ends by itself: its device is gone, or the user has stopped sharing. @param {MediaStream} stream */
  #watch(stream) {
    for (const track of stream.getTracks()) {
      if (this.#watched.has(track)) continue;
      this.#watched.add(track);
      track.addEventListener('ended', () => {
        this.#notify('inactive', stream, track.kind);
        if (!stream.active) this.#notify('inactive', stream, 'stream');
      });
    }
  }

  /** @param {'onadd' | 'inactive'} event @param {MediaStream} stream @param {string} type */
  #notify(event, stream, type) {
    this.#on.emit('onStreamNotify', { event, isLocal: true, stream, type, userId: this.#on.userId(), videoId: '' });
  }

  /** @template T @param {() => Promise<T>} act @returns {Promise<T>} */
  #inTurn(act) {
    const done = this.#turn.then(act);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}
