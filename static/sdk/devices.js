// @ts-check
/** Which devices there are, what the browser can do, and DEVICE_CHANGED. */

import { requireDevices } from './local.js';
import { log } from './log.js';

/**
 * @typedef {'camera' | 'microphone' | 'speaker'} DeviceType
 * @typedef {{type: DeviceType, action: 'add' | 'remove' | 'active', device: MediaDeviceInfo}} DeviceChange
 */

/** @type {Record<MediaDeviceKind, DeviceType>} */
const TYPES = { videoinput: 'camera', audioinput: 'microphone', audiooutput: 'speaker' };

/**
 * @param {MediaDeviceKind} kind
 * @param {boolean} [requestPermission] open such a device for a moment if the browser hides their names until then
 * @returns {Promise<MediaDeviceInfo[]>}
 */
export async function devices(kind, requestPermission = true) {
  requireDevices();
  let all = await list(kind);
  if (requestPermission && all.some((device) => !device.label)) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia(kind === 'videoinput' ? { video: true } : { audio: true });
      all = await list(kind);
      for (const track of stream.getTracks()) track.stop();
    } catch (error) {
      log.info('the names of the devices stay hidden:', error);
    }
  }
  return all;
}

/** @param {MediaDeviceKind} kind */
async function list(kind) {
  const all = await navigator.mediaDevices.enumerateDevices();
  return all.filter((device) => device.kind === kind && device.deviceId !== 'default' && device.deviceId !== 'communications');
}

/** What this browser can do. */
export async function capabilities() {
  const isWebRTCSupported = typeof RTCPeerConnection === 'function';
  const detail = {
    isBrowserSupported: isWebRTCSupported && typeof WebSocket === 'function',
    isWebRTCSupported,
    isWebCodecsSupported: 'VideoEncoder' in globalThis,
    isMediaDevicesSupported: !!navigator.mediaDevices?.getUserMedia,
    isScreenShareSupported: !!navigator.mediaDevices?.getDisplayMedia,
    isSmallStreamSupported: false,
    isH264EncodeSupported: can('RTCRtpSender', 'video/H264'),
    isH264DecodeSupported: can('RTCRtpReceiver', 'video/H264'),
    isVp8EncodeSupported: can('RTCRtpSender', 'video/VP8'),
    isVp8DecodeSupported: can('RTCRtpReceiver', 'video/VP8'),
  };
  return { result: detail.isWebRTCSupported && detail.isMediaDevicesSupported, detail };
}

/**
 * @param {'RTCRtpSender' | 'RTCRtpReceiver'} side
 * @param {string} mimeType
 */
function can(side, mimeType) {
  const codecs = globalThis[side]?.getCapabilities?.('video')?.codecs ?? [];
  return codecs.some((codec) => codec.mimeType === mimeType);
}

/** Tells of devices that come, go, or come into use. */
export class DeviceWatch {
  #emit;
  /** @type {Map<string, MediaDeviceInfo>} by kind and id */
  #known = new Map();
  #changed = () => void this.#compare(true);

  /** @param {(change: DeviceChange) => void} emit */
  constructor(emit) {
    this.#emit = emit;
    navigator.mediaDevices?.addEventListener?.('devicechange', this.#changed);
    void this.#compare(false);
  }

  close() {
    navigator.mediaDevices?.removeEventListener?.('devicechange', this.#changed);
  }

  /**
   * A device is in use from now on.
   * @param {MediaDeviceKind} kind
   * @param {string | undefined} deviceId
   */
  async used(kind, deviceId) {
    await this.#compare(false); // the browser names devices only after the first permission
    const device = [...this.#known.values()].find((one) => one.kind === kind && one.deviceId === deviceId);
    if (device) this.#emit({ type: TYPES[kind], action: 'active', device });
  }

  /** @param {boolean} tell */
  async #compare(tell) {
    const all = await navigator.mediaDevices?.enumerateDevices?.().catch(() => []);
    const now = new Map((all ?? []).filter((device) => device.deviceId).map((device) => [`${device.kind}/${device.deviceId}`, device]));
    const before = this.#known;
    this.#known = now;
    if (!tell) return;
    for (const [key, device] of before) if (!now.has(key)) this.#emit({ type: TYPES[device.kind], action: 'remove', device });
    for (const [key, device] of now) if (!before.has(key)) this.#emit({ type: TYPES[device.kind], action: 'add', device });
  }
}
