// @ts-check
/** One stream of another member, from the first time we hear of it until the member leaves: its state and its playing. */

import { EVENT } from './names.js';
import { Picture } from './picture.js';
import { Sound } from './sound.js';

/**
 * @typedef {import('./peers.js').Stream} Stream
 * @typedef {import('./peers.js').Kind} Kind
 * @typedef {{
 *   userId: string, stream: Stream, audio: boolean, video: boolean, audioMuted: boolean, videoMuted: boolean,
 *   transport: string, urls: Record<string, string>,
 * }} StreamInfo
 */

/** How long the views must stay in sight, or out of it, before the server is asked for a change. */
const SCROLLED_MS = 200;

/** @param {Stream} stream @returns {'main' | 'sub'} */
export const type = (stream) => (stream === 'aux' ? 'sub' : 'main');

export class Incoming {
  /** @type {StreamInfo | null} while it is sent */
  info = null;
  /** @type {Set<Kind>} what the server was asked for */
  asked = new Set();
  /** @type {{audio: MediaStreamTrack | null, video: MediaStreamTrack | null}} */
  tracks = { audio: null, video: null };
  /** @type {{audio: boolean, video: boolean}} as last told to the application */
  told = { audio: false, video: false };
  wantsVideo = false;
  silenced = false;
  /** one of the views can be seen, or that does not matter */
  inSight = true;
  #emit;
  /** @type {IntersectionObserver | null} */
  #observer = null;
  #timer = 0;

  /**
   * @param {string} userId
   * @param {Stream} stream
   * @param {{emit: (event: string, detail: object) => void, blocked: (sound: Sound) => void}} on
   */
  constructor(userId, stream, on) {
    this.userId = userId;
    this.stream = stream;
    this.#emit = on.emit;
    const who = { userId, streamType: type(stream) };
    this.picture = new Picture({
      state: (state, reason) => this.#emit(EVENT.VIDEO_PLAY_STATE_CHANGED, { ...who, state, reason }),
      first: (size) => this.#emit(EVENT.FIRST_VIDEO_FRAME, { ...who, ...size }),
      size: (size) => this.#emit(EVENT.VIDEO_SIZE_CHANGED, { ...who, ...size }),
    });
    this.sound = new Sound({
      state: (state, reason) => this.#emit(EVENT.AUDIO_PLAY_STATE_CHANGED, { ...who, state, reason }),
      blocked: () => on.blocked(this.sound),
    });
  }

  /** What the server is to send of it now. @returns {Set<Kind>} */
  wanted() {
    /** @type {Set<Kind>} */
    const wanted = new Set();
    if (!this.silenced) wanted.add('audio');
    if (this.wantsVideo && this.inSight) wanted.add('video');
    return wanted;
  }

  /** @param {StreamInfo | null} info Tells what has become available, or no longer is. */
  update(info) {
    this.info = info;
    for (const kind of /** @type {const} */ (['audio', 'video'])) {
      const available = kind === 'audio' ? !!info?.audio && !info.audioMuted : !!info?.video && !info.videoMuted;
      if (available === this.told[kind]) continue;
      this.told[kind] = available;
      const event = `remote-${kind}-${available ? 'available' : 'unavailable'}`;
      this.#emit(event, { userId: this.userId, streamType: type(this.stream) });
    }
    this.play();
  }

  /**
   * @param {Kind} kind
   * @param {MediaStreamTrack | null} track
   */
  received(kind, track) {
    if (track === this.tracks[kind]) return;
    this.tracks[kind] = track;
    if (track) this.#emit(EVENT.TRACK, { userId: this.userId, streamType: type(this.stream), track });
  }

  /** Give the tracks to their elements, or take them away: a stopped stream would leave its last picture standing. */
  play() {
    this.picture.play(this.told.video && this.wantsVideo ? this.tracks.video : null);
    this.sound.play(this.silenced ? null : this.tracks.audio);
  }

  /**
   * Receive the picture only while one of its views is in sight.
   * @param {boolean} on
   * @param {HTMLElement | undefined} root what scrolls
   * @param {() => void} changed
   */
  observe(on, root, changed) {
    this.#observer?.disconnect();
    this.#observer = null;
    clearTimeout(this.#timer);
    this.inSight = true;
    if (!on || !this.picture.places.length) return;
    const seen = new Set();
    this.#observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          if (isIntersecting) seen.add(target);
          else seen.delete(target);
        }
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => {
          if (this.inSight === seen.size > 0) return;
          this.inSight = seen.size > 0;
          changed();
        }, SCROLLED_MS);
      },
      { root: root && root !== document.body ? root : null },
    );
    for (const place of this.picture.places) this.#observer.observe(place);
  }

  close() {
    this.observe(false, undefined, () => undefined);
    this.picture.remove();
    this.sound.play(null);
  }
}
