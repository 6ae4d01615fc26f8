// @ts-check
/** The own camera, microphone and screen, from the device to its preview and on to `Sources`, which sends them. */

import { ERROR_CODE, RtcError, aborted, misuse } from './errors.js';
import { audioProfile, captureCamera, captureMicrophone, captureScreen, reshape, screenProfile, videoProfile } from './local.js';
import { log } from './log.js';
import { Microphone } from './microphone.js';
import { EVENT } from './names.js';
import { Picture, places } from './picture.js';
import { percentage } from './checks.js';

/**
 * @typedef {import('./picture.js').View} View
 * @typedef {import('./local.js').VideoOption} VideoOption
 * @typedef {import('./local.js').AudioOption} AudioOption
 * @typedef {import('./local.js').ScreenOption} ScreenOption
 * @typedef {import('./sources.js').Source} Source
 * @typedef {{view?: View | View[], publish?: boolean, mute?: boolean | string, option?: VideoOption}} LocalVideoConfig
 * @typedef {{publish?: boolean, mute?: boolean, option?: AudioOption}} LocalAudioConfig
 * @typedef {{view?: View | View[], publish?: boolean, option?: ScreenOption}} ScreenShareConfig
 */

/** What needs a new capture, because it is the device's own setting. */
const AUDIO_CAPTURE = /** @type {const} */ (['microphoneId', 'audioTrack', 'echoCancellation', 'noiseSuppression', 'autoGainControl']);
const VIDEO_CAPTURE = /** @type {const} */ (['cameraId', 'videoTrack', 'useFrontCamera']);

export class Locals {
  #sources;
  #emit;
  #maySend;
  #used;
  #previews;
  #microphone = new Microphone();
  /** @type {AudioOption} */
  #audio = {};
  /** @type {VideoOption} */
  #video = {};
  /** @type {Map<Source, number>} counts starts and stops: what was captured for an older one is not wanted any more */
  #turn = new Map();

  /**
   * @param {import('./sources.js').Sources} sources
   * @param {{
   *   emit: (event: string, detail?: object) => void,
   *   isAudience: () => boolean,
   *   used: (kind: MediaDeviceKind, deviceId: string | undefined) => void,
   * }} on `used`: a device is in use from now on
   */
  constructor(sources, on) {
    this.#sources = sources;
    this.#emit = on.emit;
    this.#used = on.used;
    this.#maySend = (/** @type {string} */ call) => {
      if (on.isAudience()) throw misuse(`${call}: the audience sends nothing; see switchRole`, 5107);
    };
    this.#previews = { video: this.#preview('main'), screen: this.#preview('sub') };
  }

  /** @param {'main' | 'sub'} streamType */
  snapshot(streamType) {
    return this.#previews[streamType === 'sub' ? 'screen' : 'video'].snapshot();
  }

  close() {
    this.#previews.video.remove();
    this.#previews.screen.remove();
    this.#microphone.close();
    this.#sources.close();
  }

  // --- microphone

  /** @param {LocalAudioConfig} config */
  async startAudio({ publish = true, mute = false, option = {} }) {
    checkVolumes(option);
    const { bitrate, stereo } = audioProfile(option.profile);
    const turn = this.#begin('startLocalAudio', 'audio', publish);
    const track = await this.#captured('startLocalAudio', 'audio', turn, !option.audioTrack, () => captureMicrophone(option));
    this.#audio = { ...option };
    Object.assign(this.#microphone, { captureVolume: option.captureVolume ?? 100, earMonitorVolume: option.earMonitorVolume ?? 0 });
    const own = !option.audioTrack;
    this.#emit(EVENT.TRACK, { userId: '', streamType: 'main', track });
    const manner = { bitrateKbps: bitrate, stereo };
    await this.#sources.start('audio', { track, sent: this.#microphone.process(track), own, publish, mute, manner });
    this.#finish('startLocalAudio', 'audio', turn);
    if (own) this.#used('audioinput', track.getSettings().deviceId);
  }

  /** @param {LocalAudioConfig} config */
  async updateAudio({ publish, mute, option = {} }) {
    const local = this.#sources.get('audio');
    if (!local) throw misuse('updateLocalAudio: the microphone is off', 5106);
    if (publish) this.#maySend('updateLocalAudio');
    checkVolumes(option);
    this.#audio = { ...this.#audio, ...option };
    const { captureVolume, earMonitorVolume } = option;
    if (captureVolume !== undefined) this.#microphone.captureVolume = captureVolume;
    if (earMonitorVolume !== undefined) this.#microphone.earMonitorVolume = earMonitorVolume;
    if (AUDIO_CAPTURE.some((name) => option[name] !== undefined)) {
      if (option.microphoneId) this.#audio.audioTrack = option.audioTrack;
      await this.#newMicrophone(await captureMicrophone(this.#audio), !this.#audio.audioTrack);
    } else if (captureVolume !== undefined || earMonitorVolume !== undefined) {
      await this.#newMicrophone(local.track, local.own);
    }
    await this.#sources.update('audio', publish, mute);
  }

  async stopAudio() {
    this.#cancel('audio');
    this.#microphone.close();
    await this.#sources.stop('audio');
  }

  /**
   * @param {MediaStreamTrack} track
   * @param {boolean} own
   */
  async #newMicrophone(track, own) {
    const before = this.#sources.track('audio');
    await this.#sources.replace('audio', { track, sent: this.#microphone.process(track), own });
    if (own && track !== before) this.#used('audioinput', track.getSettings().deviceId);
  }

  // --- camera

  /** @param {LocalVideoConfig} config */
  async startVideo({ view, publish = true, mute = false, option = {} }) {
    const { bitrate } = videoProfile(option.profile);
    places(view);
    const turn = this.#begin('startLocalVideo', 'video', publish);
    const track = await this.#captured('startLocalVideo', 'video', turn, !option.videoTrack, () => captureCamera(option));
    const own = !option.videoTrack;
    try {
      this.#previews.video.show(view);
    } catch (error) {
      if (own) track.stop();
      throw error;
    }
    this.#video = { ...option };
    this.#show('video', track, own);
    hint(track, option.qosPreference, own ? 'motion' : '');
    const manner = { bitrateKbps: bitrate, preference: option.qosPreference };
    await this.#sources.start('video', { track, own, publish, mute: !!mute, manner });
    this.#finish('startLocalVideo', 'video', turn);
    if (own) this.#used('videoinput', track.getSettings().deviceId);
  }

  /** @param {LocalVideoConfig} config */
  async updateVideo({ view, publish, mute, option = {} }) {
    const local = this.#sources.get('video');
    if (!local) throw misuse('updateLocalVideo: the camera is off', 5105);
    if (publish) this.#maySend('updateLocalVideo');
    const profile = option.profile === undefined ? undefined : videoProfile(option.profile);
    if (view !== undefined) this.#previews.video.show(view);
    this.#video = { ...this.#video, ...option };
    if (VIDEO_CAPTURE.some((name) => option[name] !== undefined)) {
      if (!option.videoTrack) this.#video.videoTrack = undefined;
      if (option.cameraId) this.#video.useFrontCamera = undefined;
      else if (option.useFrontCamera !== undefined) this.#video.cameraId = undefined;
      await this.#newCamera(await this.#otherCamera(local));
    } else if (profile) {
      await reshape(local.track, profile);
    }
    this.#previews.video.dress(this.#look());
    const preference = option.qosPreference;
    if (preference) hint(local.track, preference, '');
    if (profile || preference) {
      await this.#sources.adjust('video', { ...(profile && { bitrateKbps: profile.bitrate }), ...(preference && { preference }) });
    }
    await this.#sources.update('video', publish, mute === undefined ? undefined : !!mute);
  }

  async stopVideo() {
    this.#cancel('video');
    this.#previews.video.remove();
    await this.#sources.stop('video');
  }

  /**
   * A phone opens one camera at a time: the present one is closed if the other cannot be had beside it.
   * @param {import('./sources.js').Local} present
   */
  async #otherCamera(present) {
    try {
      return await captureCamera(this.#video);
    } catch (error) {
      if (!present.own || !(error instanceof RtcError) || error.extraCode !== 5303) throw error;
      present.track.stop();
      return captureCamera(this.#video);
    }
  }

  /** @param {MediaStreamTrack} track */
  async #newCamera(track) {
    const own = !this.#video.videoTrack;
    hint(track, this.#video.qosPreference, own ? 'motion' : '');
    await this.#sources.replace('video', { track, own });
    this.#show('video', track, own);
    if (own) this.#used('videoinput', track.getSettings().deviceId);
  }

  /** How the preview looks: one's own camera is a mirror. */
  #look() {
    const { mirror = !this.#video.videoTrack, fillMode } = this.#video;
    return { mirror: mirror === true || mirror === 'view' || mirror === 'both', fillMode: fillMode ?? 'cover' };
  }

  // --- screen

  /** @param {ScreenShareConfig} config */
  async startScreen({ view, publish = true, option = {} }) {
    const { bitrate } = screenProfile(option.profile);
    places(view);
    const turn = this.#begin('startScreenShare', 'screen', publish);
    const { video, audio } = await this.#captured('startScreenShare', 'screen', turn, !option.videoTrack, () => captureScreen(option));
    const own = !option.videoTrack;
    try {
      this.#previews.screen.show(view);
    } catch (error) {
      if (own) for (const track of [video, audio]) track?.stop();
      throw error;
    }
    hint(video, option.qosPreference, 'detail');
    this.#previews.screen.dress({ fillMode: option.fillMode ?? 'contain' });
    this.#show('screen', video, own);
    if (audio) {
      const manner = { bitrateKbps: audioProfile('high-stereo').bitrate, stereo: true };
      await this.#sources.start('screenAudio', { track: audio, own, publish, mute: false, manner });
    }
    const manner = { bitrateKbps: bitrate, preference: option.qosPreference };
    await this.#sources.start('screen', { track: video, own, publish, mute: false, manner });
    this.#finish('startScreenShare', 'screen', turn);
  }

  /** @param {ScreenShareConfig} config */
  async updateScreen({ view, publish, option = {} }) {
    const local = this.#sources.get('screen');
    if (!local) throw misuse('updateScreenShare: no screen is shared');
    if (publish) this.#maySend('updateScreenShare');
    if (view !== undefined) this.#previews.screen.show(view);
    if (option.fillMode) this.#previews.screen.dress({ fillMode: option.fillMode });
    if (option.qosPreference) {
      hint(local.track, option.qosPreference, 'detail');
      await this.#sources.adjust('screen', { preference: option.qosPreference });
    }
    if (this.#sources.has('screenAudio')) await this.#sources.update('screenAudio', publish, undefined);
    await this.#sources.update('screen', publish, undefined);
  }

  async stopScreen() {
    this.#cancel('screen');
    this.#previews.screen.remove();
    await this.#sources.stop('screenAudio');
    await this.#sources.stop('screen');
  }

  // --- all of them

  /**
   * The device has gone. The default one takes its place, if there is one; a share is over.
   * @param {Source} source
   */
  async ended(source) {
    if (source === 'screenAudio') return;
    if (source === 'screen') {
      await this.stopScreen();
      this.#emit(EVENT.SCREEN_SHARE_STOPPED);
      return;
    }
    const local = this.#sources.get(source);
    try {
      if (!local?.own) throw new Error('a track of the application');
      if (source === 'audio') {
        this.#audio.microphoneId = undefined;
        await this.#newMicrophone(await captureMicrophone(this.#audio), true);
      } else {
        this.#video.cameraId = undefined;
        await this.#newCamera(await captureCamera(this.#video));
      }
    } catch (cause) {
      log.info(source, 'has gone:', cause);
      const [what, extraCode] = source === 'audio' ? ['microphone', 5309] : ['camera', 5308];
      await (source === 'audio' ? this.stopAudio() : this.stopVideo());
      const reason = cause instanceof RtcError ? cause.reason : 'AbortError';
      this.#emit(EVENT.ERROR, new RtcError(ERROR_CODE.DEVICE_ERROR, `${what}: the device has gone`, { extraCode, reason, cause }));
    }
  }

  /**
   * @param {'video' | 'screen'} source
   * @param {MediaStreamTrack} track
   * @param {boolean} own
   */
  #show(source, track, own) {
    if (source === 'video') this.#previews.video.dress(this.#look());
    this.#previews[source].play(track);
    log.debug(source, own ? 'captured' : 'given', track.label);
    this.#emit(EVENT.TRACK, { userId: '', streamType: source === 'screen' ? 'sub' : 'main', track });
  }

  /** @param {'main' | 'sub'} streamType */
  #preview(streamType) {
    const who = { userId: '', streamType };
    return new Picture({
      state: (state, reason) => this.#emit(EVENT.VIDEO_PLAY_STATE_CHANGED, { ...who, state, reason }),
      first: (size) => this.#emit(EVENT.FIRST_VIDEO_FRAME, { ...who, ...size }),
      size: (size) => this.#emit(EVENT.VIDEO_SIZE_CHANGED, { ...who, ...size }),
    });
  }

  /**
   * @param {string} call
   * @param {Source} source
   * @param {boolean} publish
   * @returns {number} the turn
   */
  #begin(call, source, publish) {
    if (this.#sources.has(source) || (this.#turn.get(source) ?? 0) % 2) throw misuse(`${call}: it is on already`, 5104);
    if (publish) this.#maySend(call);
    return this.#step(source);
  }

  /** A start makes the turn odd until it has its device; a stop meanwhile makes it even. @param {Source} source */
  #step(source) {
    const turn = (this.#turn.get(source) ?? 0) + 1;
    this.#turn.set(source, turn);
    return turn;
  }

  /** @param {Source} source */
  #cancel(source) {
    if ((this.#turn.get(source) ?? 0) % 2) this.#step(source);
  }

  /**
   * @template {MediaStreamTrack | {video: MediaStreamTrack, audio: MediaStreamTrack | null}} T
   * @param {string} call
   * @param {Source} source
   * @param {number} turn
   * @param {boolean} own whether it is ours to stop
   * @param {() => Promise<T>} capture
   * @returns {Promise<T>}
   */
  async #captured(call, source, turn, own, capture) {
    let found;
    try {
      found = await capture();
    } catch (error) {
      if (this.#turn.get(source) === turn) this.#step(source);
      throw error;
    }
    if (this.#turn.get(source) === turn) {
      this.#step(source);
      return found;
    }
    if (own) for (const track of found instanceof MediaStreamTrack ? [found] : [found.video, found.audio]) track?.stop();
    throw aborted(call);
  }

  /**
   * @param {string} call
   * @param {Source} source
   * @param {number} turn
   */
  #finish(call, source, turn) {
    if (!this.#sources.has(source) || (this.#turn.get(source) ?? 0) > turn + 1) throw aborted(call);
  }
}

/** @param {AudioOption} option */
function checkVolumes({ captureVolume, earMonitorVolume }) {
  if (captureVolume !== undefined) percentage('captureVolume', captureVolume);
  if (earMonitorVolume !== undefined) percentage('earMonitorVolume', earMonitorVolume);
}

/**
 * @param {MediaStreamTrack} track
 * @param {import('./local.js').QosPreference | undefined} preference
 * @param {string} usual
 */
function hint(track, preference, usual) {
  if (preference) track.contentHint = preference === 'clear' ? 'detail' : 'motion';
  else if (usual) track.contentHint = usual;
}
