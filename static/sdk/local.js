// @ts-check
/**
 * What a member captures: camera, microphone, screen. Profiles, devices and the preview; nothing about the network.
 */

import { ERROR_CODE, RtcError, deviceError, invalid } from './errors.js';

/**
 * @typedef {{width: number, height: number, frameRate: number, bitrate: number}} VideoProfile bitrate in kbit/s
 * @typedef {HTMLElement | string | null | undefined} View an element, the id of one, or nothing
 * @typedef {{
 *   cameraId?: string, useFrontCamera?: boolean, videoTrack?: MediaStreamTrack, mirror?: boolean | string,
 *   fillMode?: 'cover' | 'contain' | 'fill', profile?: string | Partial<VideoProfile>,
 * }} VideoOption
 * @typedef {{
 *   microphoneId?: string, audioTrack?: MediaStreamTrack, profile?: string,
 *   echoCancellation?: boolean, noiseSuppression?: boolean, autoGainControl?: boolean,
 * }} AudioOption
 */

/** @type {Record<string, [number, number, number]>} width, height, kbit/s; 15 pictures a second, as TRTC has them */
const VIDEO_PROFILES = {
  '120p': [160, 120, 200],
  '180p': [320, 180, 350],
  '240p': [320, 240, 400],
  '360p': [640, 360, 800],
  '480p': [640, 480, 900],
  '720p': [1280, 720, 1500],
  '1080p': [1920, 1080, 2000],
};

/**
 * @param {string | Partial<VideoProfile> | undefined} profile
 * @param {string} [fallback]
 * @returns {VideoProfile}
 */
export function videoProfile(profile, fallback = '480p') {
  const name = typeof profile === 'string' ? profile.replace(/_.*$/, '') : fallback;
  const entry = VIDEO_PROFILES[name];
  if (!entry) throw invalid(`profile: ${name} is unknown; known are ${Object.keys(VIDEO_PROFILES).join(', ')}`);
  const [width, height, bitrate] = entry;
  const named = { width, height, frameRate: 15, bitrate };
  return typeof profile === 'object' ? { ...named, ...profile } : named;
}

/** Whether this page may ask for a camera: only on HTTPS and on localhost. */
export function requireDevices() {
  if ('mediaDevices' in navigator && 'getUserMedia' in navigator.mediaDevices) return;
  throw new RtcError(
    ERROR_CODE.ENV_NOT_SUPPORTED,
    globalThis.isSecureContext === false
      ? 'this origin is insecure: the browser gives a camera and a microphone only to HTTPS pages and to localhost'
      : 'this browser has no camera and microphone interface',
    { reason: 'insecure_origin' },
  );
}

/**
 * @param {VideoOption} option
 * @returns {Promise<MediaStreamTrack>}
 */
export async function captureCamera(option) {
  if (option.videoTrack) return option.videoTrack;
  requireDevices();
  const { width, height, frameRate } = videoProfile(option.profile);
  /** @type {MediaTrackConstraints} */
  const video = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate } };
  if (option.cameraId) video.deviceId = { exact: option.cameraId };
  else if (option.useFrontCamera !== undefined) video.facingMode = option.useFrontCamera ? 'user' : 'environment';
  try {
    return (await navigator.mediaDevices.getUserMedia({ video })).getVideoTracks()[0];
  } catch (error) {
    throw deviceError('camera', error);
  }
}

/**
 * @param {AudioOption} option
 * @returns {Promise<MediaStreamTrack>}
 */
export async function captureMicrophone(option) {
  if (option.audioTrack) return option.audioTrack;
  requireDevices();
  /** @type {MediaTrackConstraints} */
  const audio = {};
  if (option.microphoneId) audio.deviceId = { exact: option.microphoneId };
  for (const name of /** @type {const} */ (['echoCancellation', 'noiseSuppression', 'autoGainControl'])) {
    if (option[name] !== undefined) audio[name] = option[name];
  }
  try {
    return (await navigator.mediaDevices.getUserMedia({ audio })).getAudioTracks()[0];
  } catch (error) {
    throw deviceError('microphone', error);
  }
}

/**
 * @param {{systemAudio?: boolean, profile?: string | Partial<VideoProfile>, videoTrack?: MediaStreamTrack, audioTrack?: MediaStreamTrack}} option
 * @returns {Promise<{video: MediaStreamTrack, audio: MediaStreamTrack | null}>}
 */
export async function captureScreen(option) {
  if (option.videoTrack) return { video: option.videoTrack, audio: option.audioTrack ?? null };
  if (!navigator.mediaDevices?.getDisplayMedia) requireDevices();
  const { width, height, frameRate } = videoProfile(option.profile, '1080p');
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({
      video: { width: { max: width }, height: { max: height }, frameRate: { max: frameRate } },
      audio: option.systemAudio ?? false,
    });
    return { video: stream.getVideoTracks()[0], audio: stream.getAudioTracks()[0] ?? null };
  } catch (error) {
    throw deviceError('screen', error);
  }
}

/**
 * @param {MediaDeviceKind} kind
 * @returns {Promise<MediaDeviceInfo[]>}
 */
export async function devices(kind) {
  requireDevices();
  const all = await navigator.mediaDevices.enumerateDevices();
  return all.filter((device) => device.kind === kind && device.deviceId !== 'default');
}

/**
 * The media elements inside the application's views: the only DOM that the library owns.
 */
export class Picture {
  /** @type {HTMLVideoElement[]} */
  #elements = [];
  /** @type {MediaStreamTrack | null} */
  #track = null;

  /**
   * Show in these views (and no others) from now on.
   * @param {View | View[]} views
   * @param {{fillMode?: string, mirror?: boolean}} look
   */
  show(views, look) {
    this.#clear();
    for (const view of Array.isArray(views) ? views : [views]) {
      const place = typeof view === 'string' ? document.getElementById(view) : view;
      if (view && !place) throw invalid(`view: there is no element ${view}`);
      if (!place) continue;
      const element = document.createElement('video');
      element.autoplay = element.muted = element.playsInline = true;
      element.style.width = element.style.height = '100%';
      element.style.objectFit = look.fillMode ?? 'cover';
      if (look.mirror) element.style.transform = 'scaleX(-1)';
      place.append(element);
      this.#elements.push(element);
    }
    this.#play();
  }

  /** @param {MediaStreamTrack | null} track */
  play(track) {
    if (track === this.#track) return;
    this.#track = track;
    this.#play();
  }

  remove() {
    this.#clear();
    this.#track = null;
  }

  #play() {
    for (const element of this.#elements) {
      element.srcObject = this.#track ? new MediaStream([this.#track]) : null;
      if (this.#track) element.play().catch(() => undefined); // muted: plays without a gesture
    }
  }

  #clear() {
    for (const element of this.#elements) {
      element.srcObject = null;
      element.remove();
    }
    this.#elements = [];
  }
}
