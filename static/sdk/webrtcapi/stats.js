// @ts-check
/** Numbers of one direction, at intervals, in the shape of `getStats` of 2018. */

import { CODE, failure } from './codes.js';

/**
 * @typedef {import('../trtc.js').default} Trtc
 * @typedef {Record<string, any>} Entry of a report
 * @typedef {{width: number, height: number}} Size
 * @typedef {{
 *   ssrc?: number, codec?: string, packetsSent?: number, packetsReceived?: number, bytesSent?: number,
 *   bytesReceived?: number, packetsLost?: number, width?: number, height?: number,
 * }} Numbers `packetsSent` and `bytesSent` of what is sent, the others of what is received; 0 as long as nothing flows
 * @typedef {{
 *   video: Numbers, audio: Numbers, bandwidth: {speed: number}, resolutions: {send: Size, recv: Size},
 * }} Result `speed` in bytes a second since the result before
 */

const PERIOD_MS = 1000;
const SHORTEST_MS = 100;
const NO_SIZE = { width: 0, height: 0 };

export class Stats {
  #trtc;
  #on;
  /** @type {Set<() => void>} the ends of all that run */
  #running = new Set();

  /**
   * @param {Trtc} trtc
   * @param {{userId: () => string, isIn: () => boolean, sends: (userId: string) => boolean}} on
   */
  constructor(trtc, on) {
    this.#trtc = trtc;
    this.#on = on;
  }

  /**
   * @param {string} userId whose; '' or oneself: what is sent
   * @param {number | undefined} intervalMs
   * @param {(result: Result) => void} told
   * @param {(error: unknown) => void} failed it has ended by that
   * @returns {() => void} ends it
   */
  start(userId, intervalMs, told, failed) {
    const whose = userId === this.#on.userId() ? '' : userId;
    /** @type {{bytes: number, at: number} | null} */
    let before = null;
    const end = () => {
      clearInterval(timer);
      this.#running.delete(end);
    };
    const read = async () => {
      try {
        const result = await this.#read(whose);
        if (!this.#running.has(end)) return;
        const now = { bytes: total(result.video) + total(result.audio), at: performance.now() };
        const seconds = before ? (now.at - before.at) / 1000 : 0;
        const speed = before && seconds > 0 ? Math.max(0, Math.round((now.bytes - before.bytes) / seconds)) : 0;
        before = now;
        told({ ...result, bandwidth: { speed } });
      } catch (error) {
        if (!this.#running.has(end)) return;
        end();
        failed(error);
      }
    };
    const timer = setInterval(() => void read(), Math.max(Number(intervalMs) || PERIOD_MS, SHORTEST_MS));
    this.#running.add(end);
    void read();
    return end;
  }

  /** The stay is over. */
  stop() {
    for (const end of [...this.#running]) end();
  }

  /** @param {string} userId '' for what is sent @returns {Promise<Omit<Result, 'bandwidth'>>} */
  async #read(userId) {
    if (!this.#on.isIn()) throw failure(CODE.NOT_INITED, 'getStats: enter a room first');
    if (userId && !this.#on.sends(userId)) throw failure(CODE.NOT_FOUND_PEER, `getStats: ${userId} sends nothing`);
    const { up, down } = await this.#trtc.getStats();
    /** @type {Entry[]} */
    const entries = [];
    (userId ? down : up)?.forEach((/** @type {Entry} */ entry) => entries.push(entry));
    const video = this.#numbers(entries, 'video', userId);
    const audio = this.#numbers(entries, 'audio', userId);
    const size = { width: video.width ?? 0, height: video.height ?? 0 };
    return { video, audio, resolutions: userId ? { send: NO_SIZE, recv: size } : { send: size, recv: NO_SIZE } };
  }

  /**
   * @param {Entry[]} entries
   * @param {'video' | 'audio'} kind
   * @param {string} userId
   * @returns {Numbers}
   */
  #numbers(entries, kind, userId) {
    const type = userId ? 'inbound-rtp' : 'outbound-rtp';
    const track = userId && (kind === 'video' ? this.#trtc.getVideoTrack({ userId }) : this.#trtc.getAudioTrack({ userId }));
    const rtp = entries.find(
      (entry) => entry.type === type && entry.kind === kind && (!userId || (track && entry.trackIdentifier === track.id)),
    );
    const far = entries.find((entry) => entry.type === 'remote-inbound-rtp' && rtp && entry.localId === rtp.id);
    const codec = entries.find((entry) => rtp && entry.id === rtp.codecId)?.mimeType?.split('/')[1] ?? '';
    const flow = userId
      ? { packetsReceived: rtp?.packetsReceived ?? 0, bytesReceived: rtp?.bytesReceived ?? 0 }
      : { packetsSent: rtp?.packetsSent ?? 0, bytesSent: rtp?.bytesSent ?? 0 };
    const size = kind === 'video' ? { width: rtp?.frameWidth ?? 0, height: rtp?.frameHeight ?? 0 } : {};
    return { ssrc: rtp?.ssrc ?? 0, codec, ...flow, packetsLost: (userId ? rtp : far)?.packetsLost ?? 0, ...size };
  }
}

/** @param {Numbers} numbers */
const total = ({ bytesSent = 0, bytesReceived = 0 }) => bytesSent + bytesReceived;
