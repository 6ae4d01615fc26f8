// @ts-check
/** Which devices there are, what the browser can do, and the speaker of one element. */

import TRTC from '../trtc.js';
import { CODE, failure } from './codes.js';

/** What `detectRTC` tells. */
export async function detect() {
  const { result, detail } = await TRTC.isSupported();
  return {
    support: result,
    isTBS: /TBS\//.test(navigator.userAgent),
    screenshare: detail.isScreenShareSupported,
    h264: detail.isH264EncodeSupported,
    detail,
  };
}

/** @param {MediaDeviceKind} kind @returns {Promise<MediaDeviceInfo[]>} with their names, for which the browser may ask */
export function list(kind) {
  if (kind === 'videoinput') return TRTC.getCameraList();
  return kind === 'audioinput' ? TRTC.getMicrophoneList() : TRTC.getSpeakerList();
}

/** @param {MediaStreamConstraints} constraints what is not named is opened @returns {Promise<MediaStream>} */
export const open = (constraints) => navigator.mediaDevices.getUserMedia({ audio: true, video: true, ...constraints });

/**
 * @param {HTMLMediaElement} element
 * @param {MediaDeviceInfo} device Rejects with NOT_SUPPORT, PARAM_MISSING, or what the browser says.
 */
export async function playBy(element, device) {
  if (!device?.deviceId) throw failure(CODE.PARAM_MISSING, 'a device of the list is needed');
  if (!element || !('setSinkId' in element)) throw failure(CODE.NOT_SUPPORT, 'this browser chooses the speaker itself');
  await element.setSinkId(device.deviceId);
}
