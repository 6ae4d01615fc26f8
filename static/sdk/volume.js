// @ts-check
/**
 * Who is how loud: the own microphone by Web Audio, or, where that hears nothing (it stands still until a gesture, while
 * no loudspeaker starts, after a phone call), by what the connection sends; the others by what the browser decodes, or,
 * where it does not say, by the server's word.
 *
 * Volumes are on the server's scale (docs/protocol.md, `speaking`): 0 at -60 dB of full scale and below, 100 at 0 dB.
 */

import { audioContext } from './microphone.js';

const SHORTEST_MS = 100;
/** The own sound is looked at at least so often, each time at all of it since the last look. */
const LOOK_MS = 500;
/** Samples that the browser keeps for a look, the most that it can: 0.68 s at 48 kHz. */
const LOOKED_AT = 32768;
const SILENCE_DB = 60;

export class Volumes {
  #on;
  #timer = 0;
  #inBackground = false;
  #lookedAt = 0;
  /** The loudest since the last telling, 0..1. */
  #loudest = 0;
  /** @type {{of: MediaStreamTrack, source: AudioNode, analyser: AnalyserNode, samples: Float32Array<ArrayBuffer>} | null} */
  #ear = null;
  /** @type {Map<string, number>} user → 0..100, as the server last said */
  #said = new Map();

  /**
   * @param {{
   *   tell: (detail: {result: {userId: string, volume: number, floatVolume: number}[]}) => void,
   *   own: () => MediaStreamTrack | null,
   *   up: () => RTCPeerConnection | null,
   *   down: () => RTCPeerConnection | null,
   *   users: () => Map<string, string[]>,
   * }} on `own`: the microphone; `users`: who sends sound, and the ids of their tracks here
   */
  constructor(on) {
    this.#on = on;
  }

  /**
   * @param {number} intervalMs 0 or less: no more
   * @param {boolean} inBackground also while the page is hidden
   */
  start(intervalMs, inBackground) {
    this.stop();
    this.#inBackground = inBackground;
    if (!(intervalMs > 0)) return;
    const toldMs = Math.max(SHORTEST_MS, intervalMs);
    const looks = Math.ceil(toldMs / LOOK_MS);
    let look = 0;
    this.#timer = setInterval(() => {
      this.#look();
      if (++look % looks === 0) void this.#measure();
    }, toldMs / looks);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#listen(null);
  }

  /** @param {{userId: string, level: number}[]} users those whom the server hears */
  said(users) {
    this.#said = new Map(users.map(({ userId, level }) => [userId, level]));
  }

  #look() {
    const now = performance.now();
    this.#listen(this.#on.own());
    this.#loudest = Math.max(this.#loudest, this.#peak((now - this.#lookedAt) / 1000));
    this.#lookedAt = now;
  }

  async #measure() {
    const peak = this.#loudest;
    this.#loudest = 0;
    if (document.hidden && !this.#inBackground) return;
    const timer = this.#timer;
    const own = this.#on.own();
    const levels = await received(this.#on.down());
    const ownLevel = peak || !own ? peak : await sent(this.#on.up(), own);
    if (timer !== this.#timer || !timer) return;
    const result = [];
    for (const [userId, tracks] of this.#on.users()) {
      const known = tracks.flatMap((track) => levels.get(track) ?? []);
      const level = Math.max(0, ...known);
      const volume = known.length ? loudness(level) : (this.#said.get(userId) ?? 0);
      result.push({ userId, volume, floatVolume: level });
    }
    if (own) result.push({ userId: '', volume: loudness(ownLevel), floatVolume: ownLevel });
    result.sort((a, b) => b.volume - a.volume);
    this.#on.tell({ result });
  }

  /** @param {MediaStreamTrack | null} track */
  #listen(track) {
    if (this.#ear?.of === track || (!this.#ear && !track)) return;
    this.#ear?.source.disconnect();
    this.#ear = null;
    this.#loudest = 0;
    if (!track) return;
    const context = audioContext();
    const source = context.createMediaStreamSource(new MediaStream([track]));
    const analyser = context.createAnalyser();
    analyser.fftSize = LOOKED_AT;
    source.connect(analyser);
    this.#ear = { of: track, source, analyser, samples: new Float32Array(analyser.fftSize) };
  }

  /** @param {number} seconds the newest of what is kept @returns {number} 0..1 */
  #peak(seconds) {
    if (!this.#ear) return 0;
    const { analyser, samples } = this.#ear;
    analyser.getFloatTimeDomainData(samples);
    let peak = 0;
    const count = Math.min(Math.ceil(seconds * analyser.context.sampleRate), samples.length);
    for (const sample of samples.subarray(-count)) peak = Math.max(peak, Math.abs(sample));
    return Math.min(peak, 1);
  }
}

/**
 * @param {RTCPeerConnection | null} connection
 * @returns {Promise<Map<string, number>>} track id → 0..1, of full scale
 */
async function received(connection) {
  /** @type {Map<string, number>} */
  const levels = new Map();
  const report = await connection?.getStats().catch(() => undefined);
  report?.forEach((entry) => {
    if (entry.type !== 'inbound-rtp' || entry.kind !== 'audio' || typeof entry.audioLevel !== 'number') return;
    levels.set(entry.trackIdentifier, entry.audioLevel);
  });
  return levels;
}

/**
 * @param {RTCPeerConnection | null} connection
 * @param {MediaStreamTrack} track
 * @returns {Promise<number>} 0..1, of full scale; 0 where the browser does not say
 */
async function sent(connection, track) {
  let level = 0;
  const report = await connection?.getStats().catch(() => undefined);
  report?.forEach((entry) => {
    if (entry.type === 'media-source' && entry.trackIdentifier === track.id) level = entry.audioLevel ?? 0;
  });
  return Math.min(level, 1);
}

/** @param {number} level 0..1 @returns {number} 0..100 */
function loudness(level) {
  if (!(level > 0)) return 0;
  return Math.round((100 * Math.min(Math.max(SILENCE_DB + 20 * Math.log10(level), 0), SILENCE_DB)) / SILENCE_DB);
}
