// @ts-check
/**
 * The visitor's own microphone, camera and screen: on, off, busy, which device, and what was chosen at the last visit.
 * Before a call they run for the preview; entering a room sends what runs already.
 */

import TRTC from '../sdk/trtc.js';
import { recall, remember } from './choices.js';
import { reasonOf } from './troubles.js';

/**
 * @typedef {import('./troubles.js').Device} Device
 * @typedef {'camera' | 'microphone' | 'speaker'} Kind
 */

const PROFILE = { width: 640, height: 480, frameRate: 24, bitrate: 1000 };
const SCREEN = { width: 1280, height: 720, frameRate: 15, bitrate: 1500 };
/** As the server's own refusal. */
const MUTED = { reason: 'muted' };
/** @type {any} newer calls of the library, where it has them */
const library = TRTC;

export const canShare = () => isSecureContext && !!navigator.mediaDevices?.getDisplayMedia;
export const canChooseSpeaker = () =>
  typeof library.setCurrentSpeaker === 'function' && 'setSinkId' in HTMLMediaElement.prototype;

export class OwnDevices {
  /** What runs. A muted microphone runs. */
  on = { microphone: false, camera: false, share: false };
  muted = false;
  /** What a moderator has muted; it does not start. @type {Record<Device, boolean>} */
  blocked = { microphone: false, camera: false, share: false };
  /** What the visitor wants at entering, kept for the next visit. */
  wanted = { microphone: recall('microphone') !== 'off', camera: recall('camera') !== 'off' };
  /** @type {Record<Kind, string>} device ids; '' is the browser's choice */
  chosen = {
    camera: recall('camera.id') ?? '',
    microphone: recall('microphone.id') ?? '',
    speaker: recall('speaker.id') ?? '',
  };
  /**
   * Whether a shared screen takes the camera's place in the one stream that mini programs see, instead of being a second.
   */
  screenAsCamera = false;
  /** Where the camera is shown: the preview, then the own tile. @type {HTMLElement | null} */
  view = null;
  #trtc;
  #changed;
  #failed;

  /**
   * @param {TRTC} trtc
   * @param {{changed: () => void, failed: (device: Device, error: unknown) => void}} on
   */
  constructor(trtc, { changed, failed }) {
    this.#trtc = trtc;
    this.#changed = changed;
    this.#failed = failed;
  }

  get micLive() {
    return this.on.microphone && !this.muted;
  }

  /** Whether there is a picture in the camera's place. */
  get pictured() {
    return this.on.camera || (this.screenAsCamera && this.on.share);
  }

  /**
   * Choose before a call, for now and the next visit: what is not wanted is closed, so that no lamp burns.
   * @param {'microphone' | 'camera'} device
   * @param {boolean} on
   */
  async want(device, on) {
    this.wanted[device] = on;
    remember(device, on ? 'on' : 'off');
    if (device === 'camera') return this.setCamera(on);
    if (on || !this.on.microphone) return this.setMicrophone(on);
    this.on.microphone = false;
    await this.#trtc.stopLocalAudio().catch(() => undefined);
    this.#changed();
  }

  /** @param {boolean} live */
  async setMicrophone(live) {
    if (live && this.blocked.microphone) return this.#failed('microphone', MUTED);
    if (live && !this.on.microphone) {
      this.muted = false;
      await this.#start('microphone', () =>
        this.#trtc.startLocalAudio({ option: this.chosen.microphone ? { microphoneId: this.chosen.microphone } : {} }),
      );
    } else if (this.on.microphone) {
      this.muted = !live;
      await this.#trtc.updateLocalAudio({ mute: this.muted }).catch((error) => this.#failed('microphone', error));
    }
    this.#changed();
  }

  /** @param {boolean} on */
  async setCamera(on) {
    if (on === this.on.camera) return;
    if (on && this.blocked.camera) return this.#failed('camera', MUTED);
    if (this.screenAsCamera && this.on.share) await this.setShare(false);
    if (on) {
      await this.#start('camera', () =>
        this.#trtc.startLocalVideo({
          view: this.view,
          option: { profile: PROFILE, ...(this.chosen.camera ? { cameraId: this.chosen.camera } : { useFrontCamera: true }) },
        }),
      );
    } else {
      this.on.camera = false;
      await this.#trtc.stopLocalVideo().catch(() => undefined);
    }
    this.#changed();
  }

  /** @param {boolean} on */
  async setShare(on) {
    if (on && this.blocked.share) return this.#failed('share', MUTED);
    if (on) {
      await this.#start('share', () =>
        this.screenAsCamera ? this.#showScreen() : this.#trtc.startScreenShare({ option: { systemAudio: true } }),
      );
    } else {
      if (this.screenAsCamera && this.on.share) await this.#showCamera();
      this.on.share = false;
      await this.#trtc.stopScreenShare().catch(() => undefined);
    }
    this.#changed();
  }

  /** Send the screen in the camera's place. */
  async #showScreen() {
    await this.#trtc.startScreenShare({ publish: false, option: { profile: '720p' } });
    const option = { videoTrack: this.#trtc.getVideoTrack({ streamType: 'sub' }) ?? undefined, profile: SCREEN };
    if (this.on.camera) await this.#trtc.updateLocalVideo({ option });
    else await this.#trtc.startLocalVideo({ view: this.view, option });
  }

  /** Send the camera again, or nothing if it was off. */
  async #showCamera() {
    const which = this.chosen.camera ? { cameraId: this.chosen.camera } : { useFrontCamera: true };
    if (!this.on.camera) await this.#trtc.stopLocalVideo().catch(() => undefined);
    else await this.#trtc.updateLocalVideo({ option: { ...which, profile: PROFILE } }).catch((error) => this.#failed('camera', error));
  }

  /** The screen in the camera's place has ended by the browser's own button, and the library has closed both. */
  async screenGone() {
    const camera = this.on.camera;
    this.on.share = this.on.camera = false;
    this.#changed();
    if (camera) await this.setCamera(true);
  }

  /** @param {HTMLElement | null} view */
  async showIn(view) {
    if (view === this.view) return;
    this.view = view;
    if (this.on.camera) await this.#trtc.updateLocalVideo({ view }).catch(() => undefined);
  }

  /** The device that runs, by its id; '' if none does or the browser does not tell. @param {Kind} kind */
  current(kind) {
    if (kind === 'speaker') return this.chosen.speaker;
    const track = kind === 'camera' ? this.#trtc.getVideoTrack() : this.#trtc.getAudioTrack();
    return track?.getSettings().deviceId || this.chosen[kind];
  }

  /** The device is gone: unplugged, or taken by another program. @param {Device} device */
  gone(device) {
    if (device === 'share' && this.screenAsCamera) return; // see screenGone
    this.on[device] = false;
    this.#changed();
  }

  /** Close everything, as when the call is over. What was wanted stays wanted. */
  async close() {
    this.on = { microphone: false, camera: false, share: false };
    this.muted = this.screenAsCamera = false;
    await Promise.allSettled([this.#trtc.stopLocalVideo(), this.#trtc.stopLocalAudio(), this.#trtc.stopScreenShare()]);
    this.#changed();
  }

  /**
   * Use this device from now on, also in the middle of a call.
   * @param {Kind} kind
   * @param {string} id '' for the browser's choice
   */
  async choose(kind, id) {
    this.chosen[kind] = id;
    remember(`${kind}.id`, id);
    if (kind === 'speaker') await library.setCurrentSpeaker(id);
    if (kind === 'camera' && this.on.camera && id) await this.#trtc.updateLocalVideo({ option: { cameraId: id, profile: PROFILE } });
    if (kind === 'microphone' && this.on.microphone && id) await this.#trtc.updateLocalAudio({ option: { microphoneId: id } });
    this.#changed();
  }

  /**
   * @param {Device} device
   * @param {() => Promise<void>} start
   */
  async #start(device, start) {
    try {
      await start();
      this.on[device] = true;
    } catch (error) {
      // A remembered device that is not plugged in today: any other will do.
      if (device !== 'share' && this.chosen[device] && ['OverconstrainedError', 'NotFoundError'].includes(reasonOf(error))) {
        this.chosen[device] = '';
        await this.#start(device, device === 'camera'
          ? () => this.#trtc.startLocalVideo({ view: this.view, option: { profile: PROFILE } })
          : () => this.#trtc.startLocalAudio());
        return;
      }
      if (device !== 'share') this.wanted[device] = false;
      // Closing the browser's own choice of a screen is no failure.
      if (device !== 'share' || reasonOf(error) !== 'NotAllowedError') this.#failed(device, error);
    }
  }
}

/** @type {Record<Kind, () => Promise<MediaDeviceInfo[]>>} */
export const LISTS = {
  camera: () => TRTC.getCameraList(),
  microphone: () => TRTC.getMicrophoneList(),
  speaker: () => TRTC.getSpeakerList(),
};
