// @ts-check
/**
 * The member's own tracks on their way out: which are sent, which are muted, and how they come back after a lost
 * connection. A track outlives every connection; only its owner stops it.
 */

import { RtcError, misuse } from './errors.js';

/**
 * @typedef {import('./peers.js').Stream} Stream
 * @typedef {import('./peers.js').Kind} Kind
 * @typedef {'audio' | 'video' | 'screen' | 'screenAudio'} Source
 * @typedef {{bitrateKbps: number, stereo?: boolean, preference?: import('./local.js').QosPreference}} Manner
 * @typedef {{
 *   track: MediaStreamTrack, sent?: MediaStreamTrack, own: boolean, publish: boolean, mute: boolean, manner: Manner,
 * }} Local one track; `sent`: what goes out instead of it; `own`: we opened the device and close it
 * @typedef {'starting' | 'started' | 'stopped'} PublishState
 * @typedef {{
 *   mediaType: 'audio' | 'video' | 'screen', state: PublishState, prevState: PublishState,
 *   reason?: 'timeout' | 'error' | 'api-call', error?: RtcError,
 * }} PublishChange
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
  /** @type {Map<Source, PublishState>} */
  #states = new Map();

  /**
   * @param {import('./peers.js').UpPeer} up
   * @param {{
   *   maySend: () => boolean,
   *   mute: (stream: Stream, kind: Kind, muted: boolean) => Promise<unknown>,
   *   ended: (source: Source) => void,
   *   published: (change: PublishChange) => void,
   * }} on `maySend`: in a room, and no audience there; `ended`: the device was unplugged, or sharing stopped by the
   *   browser's own button
   */
  constructor(up, on) {
    this.#up = up;
    this.#on = on;
  }

  /** @param {Source} source */
  has = (source) => this.#local.has(source);

  /** Whether it is captured, and sent or to be sent. @param {Source} source */
  sends = (source) => !!this.#local.get(source)?.publish;

  /** @param {Source} source */
  get = (source) => this.#local.get(source) ?? null;

  /** @param {Source} source @param {boolean} [processed] as it is sent */
  track = (source, processed = false) => {
    const local = this.#local.get(source);
    return (processed && local?.sent) || local?.track || null;
  };

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
      if (this.#local.get(source) === local) this.#release(source);
      throw error;
    }
  }

  /**
   * Send another track in the place of the present one, which is stopped if it was ours.
   * @param {Source} source
   * @param {{track: MediaStreamTrack, sent?: MediaStreamTrack, own: boolean}} other
   */
  async replace(source, other) {
    const local = this.#need(source);
    if (local.own && local.track !== other.track) local.track.stop();
    if (local.track !== other.track) this.#watch(source, other.track);
    Object.assign(local, { sent: undefined, ...other });
    other.track.enabled = !local.mute;
    if (local.publish && this.#on.maySend()) await this.#up.send(sent(source, local));
  }

  /**
   * @param {Source} source
   * @param {Partial<Manner>} manner
   */
  async adjust(source, manner) {
    const local = this.#need(source);
    Object.assign(local.manner, manner);
    await this.#up.adjust(sent(source, local));
  }

  /**
   * @param {Source} source
   * @param {boolean | undefined} publish
   * @param {boolean | undefined} mute
   */
  async update(source, publish, mute) {
    const local = this.#need(source);
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
      else await this.#unpublish(source);
    }
  }

  /** @param {Source} source */
  async stop(source) {
    const local = this.#local.get(source);
    if (!local) return;
    this.#release(source);
    if (local.publish) await this.#unpublish(source);
  }

  /** Send everything on a new connection. */
  async resend() {
    const all = this.#on.maySend() ? this.#published() : [];
    for (const [source] of all) this.#tell(source, 'starting');
    await this.#up.build(all.map(([source, local]) => sent(source, local)));
    for (const [source, local] of all) if (this.#local.get(source) === local) this.#tell(source, 'started');
    await this.resendMutes();
  }

  /** The server may have forgotten what is muted. */
  async resendMutes() {
    for (const [source, local] of this.#published()) {
      if (local.mute || this.#toldMuted.has(source)) await this.#tellMute(source, local.mute);
    }
  }

  /** The role has changed: the audience sends nothing, though its devices stay open. */
  async roleChanged() {
    for (const [source, local] of this.#published()) {
      if (this.#on.maySend()) await this.#publish(source, local);
      else await this.#unpublish(source);
    }
  }

  /** The room is over; the devices stay open. */
  left() {
    for (const source of this.#states.keys()) this.#tell(source, 'stopped', { reason: 'api-call' });
    this.#toldMuted.clear();
  }

  /** @param {boolean} blocked no media gets through, or does again */
  blocked(blocked) {
    for (const [source] of this.#published()) {
      if (blocked) this.#tell(source, 'stopped', { reason: 'timeout' });
      else if (this.#on.maySend()) this.#tell(source, 'started');
    }
  }

  close() {
    for (const source of [...this.#local.keys()]) this.#release(source);
  }

  #published() {
    return [...this.#local].filter(([, local]) => local.publish);
  }

  /** @param {Source} source */
  #need(source) {
    const local = this.#local.get(source);
    if (!local) throw misuse(`${source} is not started`, source === 'audio' ? 5106 : source === 'video' ? 5105 : 0);
    return local;
  }

  /**
   * @param {Source} source
   * @param {Local} local
   */
  async #publish(source, local) {
    if (!this.#on.maySend()) return; // when the room is entered, or the role allows it
    this.#tell(source, 'starting');
    try {
      if (await this.#up.send(sent(source, local))) this.#tell(source, 'started');
    } catch (error) {
      this.#tell(source, 'stopped', { reason: 'error', error: /** @type {RtcError} */ (error) });
      throw error;
    }
    if (local.mute !== this.#toldMuted.has(source)) await this.#tellMute(source, local.mute);
  }

  /** @param {Source} source */
  async #unpublish(source) {
    await this.#up.stop(...PLACES[source]);
    this.#tell(source, 'stopped', { reason: 'api-call' });
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
    if (!this.#on.maySend()) return; // with the stream, when the room is entered
    if (muted) this.#toldMuted.add(source);
    else this.#toldMuted.delete(source);
    await this.#on.mute(...PLACES[source], muted).catch(() => undefined);
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack} track
   */
  #watch(source, track) {
    track.addEventListener('ended', () => this.#local.get(source)?.track === track && this.#on.ended(source));
  }

  /**
   * @param {Source} source
   * @param {PublishState} state
   * @param {{reason?: 'timeout' | 'error' | 'api-call', error?: RtcError}} [why]
   */
  #tell(source, state, why = {}) {
    const prevState = this.#states.get(source) ?? 'stopped';
    if (source === 'screenAudio' || state === prevState) return;
    this.#states.set(source, state);
    this.#on.published({ mediaType: source, state, prevState, ...why });
  }
}

/**
 * @param {Source} source
 * @param {Local} local
 * @returns {import('./peers.js').Sent}
 */
function sent(source, { track, sent, mute, manner }) {
  const [stream, kind] = PLACES[source];
  return { stream, kind, track: sent ?? track, active: kind === 'audio' || !mute, ...manner };
}
