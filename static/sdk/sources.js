// @ts-check
/**
 * The member's own tracks: which are sent, which are muted, and how they come back after a lost connection.
 */

import { RtcError, deviceError, misuse } from './errors.js';

/**
 * @typedef {import('./peers.js').Stream} Stream
 * @typedef {import('./peers.js').Kind} Kind
 * @typedef {'audio' | 'video' | 'screen' | 'screenAudio'} Source
 * @typedef {{
 *   track: MediaStreamTrack, own: boolean, publish: boolean, mute: boolean, bitrateKbps: number,
 * }} Local one track; `own`: we opened the device and close it
 */

/** @type {Record<Source, [Stream, Kind]>} */
const PLACES = {
  audio: ['main', 'audio'],
  video: ['main', 'video'],
  screen: ['aux', 'video'],
  screenAudio: ['aux', 'audio'],
};

export class Sources {
  #up;
  #on;
  /** @type {Map<Source, Local>} */
  #local = new Map();
  /** @type {Set<Source>} what the server and the others take to be muted; outlives a stopped track */
  #toldMuted = new Set();

  /**
   * @param {import('./peers.js').UpPeer} up
   * @param {{
   *   isIn: () => boolean,
   *   mute: (stream: Stream, kind: Kind, muted: boolean) => Promise<unknown>,
   *   taken: (source: Source, error: RtcError) => void,
   * }} on `isIn`: in a room; `taken`: the device was unplugged, or sharing stopped by the browser's own button
   */
  constructor(up, on) {
    this.#up = up;
    this.#on = on;
  }

  /** @param {Source} source */
  has = (source) => this.#local.has(source);

  /** @param {Source} source */
  owns = (source) => this.#local.get(source)?.own ?? true;

  /** @param {Source} source */
  track = (source) => this.#local.get(source)?.track ?? null;

  /**
   * @param {Source} source
   * @param {Local} local
   */
  async start(source, local) {
    this.#local.set(source, local);
    local.track.enabled = !local.mute;
    this.#watch(source, local.track);
    if (!local.publish) return;
    try {
      await this.#publish(source, local);
    } catch (error) {
      this.#release(source);
      throw error;
    }
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack} track
   * @param {boolean} own
   */
  async replace(source, track, own) {
    const local = this.#local.get(source);
    if (!local) {
      if (own) track.stop();
      throw misuse(`${source} is not started`);
    }
    if (local.own) local.track.stop();
    Object.assign(local, { track, own });
    track.enabled = !local.mute;
    this.#watch(source, track);
    if (local.publish && this.#on.isIn()) await this.#up.send(sent(source, local));
  }

  /**
   * @param {Source} source
   * @param {boolean | undefined} publish
   * @param {boolean | undefined} mute
   */
  async update(source, publish, mute) {
    const local = this.#local.get(source);
    if (!local) throw misuse(`${source} is not started`);
    if (mute !== undefined && mute !== local.mute) {
      local.mute = mute;
      local.track.enabled = !mute;
      // Silence goes on as packets, so that the sound's clock has no hole; a picture simply stops.
      if (source === 'video') await this.#up.setActive('main', 'video', !mute);
      if (local.publish) await this.#tellMute(source, mute);
    }
    if (publish !== undefined && publish !== local.publish) {
      local.publish = publish;
      if (publish) await this.#publish(source, local);
      else await this.#up.stop(...PLACES[source]);
    }
  }

  /** @param {Source} source */
  async stop(source) {
    const local = this.#local.get(source);
    if (!local) return;
    this.#release(source);
    if (local.publish) await this.#up.stop(...PLACES[source]);
  }

  /** Send everything on a new connection. */
  async resend() {
    const all = [...this.#local].filter(([, local]) => local.publish);
    await this.#up.build(all.map(([source, local]) => sent(source, local)));
    await this.resendMutes();
  }

  /** The server may have forgotten what is muted. */
  async resendMutes() {
    for (const [source, local] of this.#local) {
      if (local.publish && (local.mute || this.#toldMuted.has(source))) await this.#tellMute(source, local.mute);
    }
  }

  close() {
    for (const source of [...this.#local.keys()]) this.#release(source);
  }

  /**
   * @param {Source} source
   * @param {Local} local
   */
  async #publish(source, local) {
    if (!this.#on.isIn()) return; // when the room is entered
    await this.#up.send(sent(source, local));
    if (local.mute !== this.#toldMuted.has(source)) await this.#tellMute(source, local.mute);
  }

  /** @param {Source} source */
  #release(source) {
    const local = this.#local.get(source);
    this.#local.delete(source);
    if (local?.own) local.track.stop();
  }

  /**
   * @param {Source} source
   * @param {boolean} muted
   */
  async #tellMute(source, muted) {
    if (!this.#on.isIn()) return; // with the stream, when the room is entered
    if (muted) this.#toldMuted.add(source);
    else this.#toldMuted.delete(source);
    await this.#on.mute(...PLACES[source], muted).catch(() => undefined);
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack} track
   */
  #watch(source, track) {
    track.addEventListener('ended', () => {
      if (this.#local.get(source)?.track !== track) return;
      const what = source === 'audio' ? 'microphone' : source === 'video' ? 'camera' : 'screen';
      this.#on.taken(source, deviceError(what, new DOMException('', 'AbortError')));
    });
  }
}

/**
 * @param {Source} source
 * @param {Local} local
 * @returns {import('./peers.js').Sent}
 */
function sent(source, { track, mute, bitrateKbps }) {
  const [stream, kind] = PLACES[source];
  return { stream, kind, track, active: kind === 'audio' || !mute, bitrateKbps };
}
