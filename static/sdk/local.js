// @ts-check
/** What a member captures: camera, microphone, screen, and the profiles of it; nothing about the network. */

import { ERROR_CODE, RtcError, deviceError, invalid, unsupported } from './errors.js';

/**
 * @typedef {{width: number, height: number, frameRate: number, bitrate: number}} VideoProfile bitrate in kbit/s
 * @typedef {'smooth' | 'clear'} QosPreference what a weak network keeps: the frame rate or the resolution
 * @typedef {{
 *   cameraId?: string, useFrontCamera?: boolean, videoTrack?: MediaStreamTrack, mirror?: boolean | string,
 *   fillMode?: import('./picture.js').FillMode, profile?: string | Partial<VideoProfile>,
 *   small?: boolean | string | Partial<VideoProfile>, qosPreference?: QosPreference,
 * }} VideoOption `small` is taken and has no effect: there is one picture, in its one size; `mirror` turns the view
 *   (true, "view", "both"), never what is sent
 * @typedef {{
 *   microphoneId?: string, audioTrack?: MediaStreamTrack, profile?: string, captureVolume?: number,
 *   earMonitorVolume?: number, echoCancellation?: boolean, noiseSuppression?: boolean, autoGainControl?: boolean,
 * }} AudioOption volumes 0..100
 * @typedef {{
 *   systemAudio?: boolean, profile?: string | Partial<VideoProfile>, videoTrack?: MediaStreamTrack,
 *   audioTrack?: MediaStreamTrack, fillMode?: import('./picture.js').FillMode, qosPreference?: QosPreference,
 *   echoCancellation?: boolean, noiseSuppression?: boolean, autoGainControl?: boolean,
 *   preferDisplaySurface?: 'current-tab' | 'tab' | 'window' | 'monitor',
 * }} ScreenOption
 */

/** @type {Record<string, VideoProfile>} as TRTC has them */
const VIDEO_PROFILES = {
  '120p': { width: 160, height: 120, frameRate: 15, bitrate: 200 },
  '180p': { width: 320, height: 180, frameRate: 15, bitrate: 350 },
  '240p': { width: 320, height: 240, frameRate: 15, bitrate: 400 },
  '360p': { width: 640, height: 360, frameRate: 15, bitrate: 800 },
  '480p': { width: 640, height: 480, frameRate: 15, bitrate: 900 },
  '720p': { width: 1280, height: 720, frameRate: 15, bitrate: 1500 },
  '1080p': { width: 1920, height: 1080, frameRate: 15, bitrate: 2000 },
  '1440p': { width: 2560, height: 1440, frameRate: 30, bitrate: 4860 },
  '4K': { width: 3840, height: 2160, frameRate: 30, bitrate: 9000 },
};

/** @type {Record<string, VideoProfile>} */
const SCREEN_PROFILES = {
  '480p': { width: 640, height: 480, frameRate: 5, bitrate: 900 },
  '480p_2': { width: 640, height: 480, frameRate: 30, bitrate: 1000 },
  '720p': { width: 1280, height: 720, frameRate: 5, bitrate: 1200 },
  '720p_2': { width: 1280, height: 720, frameRate: 30, bitrate: 3000 },
  '1080p': { width: 1920, height: 1080, frameRate: 5, bitrate: 1600 },
  '1080p_2': { width: 1920, height: 1080, frameRate: 30, bitrate: 4000 },
};

/** Ours, when nothing is asked for: text is sharp and scrolling can be followed. */
const SCREEN = { width: 1920, height: 1080, frameRate: 15, bitrate: 2000 };

/** @type {Record<string, {bitrate: number, stereo: boolean}>} */
const AUDIO_PROFILES = {
  standard: { bitrate: 40, stereo: false },
  'standard-stereo': { bitrate: 64, stereo: true },
  high: { bitrate: 128, stereo: false },
  'high-stereo': { bitrate: 192, stereo: true },
};

/**
 * @template T
 * @param {Record<string, T>} known
 * @param {string} name
 * @returns {T}
 */
function named(known, name) {
  if (Object.hasOwn(known, name)) return known[name];
  throw invalid(`profile: ${name} is unknown; known are ${Object.keys(known).join(', ')}`, 5005);
}

/**
 * @param {string | Partial<VideoProfile> | undefined} profile
 * @returns {VideoProfile}
 */
export const videoProfile = (profile = '480p') =>
  typeof profile === 'string' ? named(VIDEO_PROFILES, profile) : { ...VIDEO_PROFILES['480p'], ...profile };

/**
 * @param {string | Partial<VideoProfile> | undefined} profile
 * @returns {VideoProfile}
 */
export const screenProfile = (profile = {}) =>
  typeof profile === 'string' ? named(SCREEN_PROFILES, profile) : { ...SCREEN, ...profile };

/** @param {string | undefined} profile */
export const audioProfile = (profile = 'standard') => named(AUDIO_PROFILES, profile);

/** Whether this page may ask for a camera: only on HTTPS and on localhost. */
export function requireDevices() {
  if ('mediaDevices' in navigator && 'getUserMedia' in navigator.mediaDevices) return;
  if (globalThis.isSecureContext === false) {
    throw new RtcError(
      ERROR_CODE.ENV_NOT_SUPPORTED,
      'this origin is insecure: the browser gives a camera and a microphone only to HTTPS pages and to localhost',
      { extraCode: 5201, reason: 'insecure_origin' },
    );
  }
  throw unsupported('this browser has no camera and microphone interface', 5202);
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
  const audio = audioProfile(option.profile).stereo ? { channelCount: { ideal: 2 } } : {};
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
 * Change a running capture, as far as its source can.
 * @param {MediaStreamTrack} track
 * @param {VideoProfile} profile
 */
export async function reshape(track, { width, height, frameRate }) {
  const wanted = { ...track.getConstraints(), width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate } };
  await track.applyConstraints(wanted).catch(() => undefined); // a drawn track stays as it is drawn
}

const SURFACES = /** @type {const} */ ({ 'current-tab': 'browser', tab: 'browser', window: 'window', monitor: 'monitor' });

/**
 * @param {ScreenOption} option
 * @returns {Promise<{video: MediaStreamTrack, audio: MediaStreamTrack | null}>}
 */
export async function captureScreen(option) {
  if (option.videoTrack) return { video: option.videoTrack, audio: option.audioTrack ?? null };
  if (!navigator.mediaDevices?.getDisplayMedia) {
    requireDevices();
    throw unsupported('this browser cannot share a screen', 5205);
  }
  const { width, height, frameRate } = screenProfile(option.profile);
  /** @type {MediaTrackConstraints} */
  const sound = {};
  for (const name of /** @type {const} */ (['echoCancellation', 'noiseSuppression', 'autoGainControl'])) {
    if (option[name] !== undefined) sound[name] = option[name];
  }
  const surface = option.preferDisplaySurface;
  /** @type {DisplayMediaStreamOptions & {preferCurrentTab?: boolean}} */
  const asked = {
    video: {
      width: { max: width },
      height: { max: height },
      frameRate: { max: frameRate },
      ...(surface && { displaySurface: SURFACES[surface] }),
    },
    audio: option.systemAudio ? (Object.keys(sound).length ? sound : true) : false,
    ...(surface === 'current-tab' && { preferCurrentTab: true }),
  };
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia(asked);
    return { video: stream.getVideoTracks()[0], audio: stream.getAudioTracks()[0] ?? null };
  } catch (error) {
    throw deviceError('screen', error);
  }
}
