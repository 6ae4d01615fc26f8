// @ts-check
/**
 * The video elements inside the application's views. With the sound of the others (sound.js) they are the only DOM that
 * the library owns.
 */

import { invalid } from './errors.js';

/**
 * @typedef {HTMLElement | string | null | undefined} View an element, the id of one, or nothing
 * @typedef {'cover' | 'contain' | 'fill'} FillMode
 * @typedef {{fillMode?: FillMode, mirror?: boolean}} Look
 * @typedef {'PLAYING' | 'PAUSED' | 'STOPPED'} PlayState
 * @typedef {{
 *   state: (state: PlayState, reason: string) => void,
 *   first: (size: {width: number, height: number}) => void,
 *   size: (size: {newWidth: number, newHeight: number}) => void,
 * }} PictureEvents `first`: a picture of a new track is on the screen
 */

/**
 * The elements of the page that are meant. Throws INVALID_PARAMETER for one that is not there.
 * @param {View | View[]} views
 * @returns {HTMLElement[]}
 */
export function places(views) {
  const found = [];
  for (const view of Array.isArray(views) ? views : [views]) {
    if (view === null || view === undefined || view === '') continue;
    const place = typeof view === 'string' ? document.getElementById(view) : view;
    if (!place) throw invalid(`view: there is no element ${view}`, 5009);
    if (!(place instanceof HTMLElement)) throw invalid('view: an element or the id of one is needed', 5010);
    found.push(place);
  }
  return found;
}

/** One picture, in any number of views. */
export class Picture {
  #on;
  /** @type {Map<HTMLElement, HTMLVideoElement>} by view */
  #elements = new Map();
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {Look} */
  #look = {};
  /** @type {PlayState} */
  #state = 'STOPPED';
  #muted = () => this.#state === 'PLAYING' && this.#tell('PAUSED', 'mute');
  #unmuted = () => this.#state === 'PAUSED' && this.#tell('PLAYING', 'unmute');
  #firstTold = true;

  /** @param {PictureEvents} on */
  constructor(on) {
    this.#on = on;
  }

  /** @returns {HTMLElement[]} */
  get places() {
    return [...this.#elements.keys()];
  }

  /**
   * Show in these views, and no others, from now on. Throws INVALID_PARAMETER before anything has changed.
   * @param {View | View[]} views
   */
  show(views) {
    const wanted = new Set(places(views));
    for (const [place, element] of this.#elements) {
      if (wanted.has(place)) continue;
      discard(element);
      this.#elements.delete(place);
    }
    for (const place of wanted) {
      if (!this.#elements.has(place)) this.#elements.set(place, this.#make(place));
    }
    if (!wanted.size) this.#tell('STOPPED', 'ended');
  }

  /** @param {Look} look fields that are left out stay as they are */
  dress(look) {
    this.#look = { ...this.#look, ...look };
    for (const element of this.#elements.values()) this.#wear(element);
  }

  /** @param {MediaStreamTrack | null} track nothing takes the picture away: the last one would stand for ever */
  play(track) {
    if (track === this.#track) return;
    this.#track?.removeEventListener('mute', this.#muted);
    this.#track?.removeEventListener('unmute', this.#unmuted);
    this.#track = track;
    this.#firstTold = !track;
    for (const element of this.#elements.values()) this.#fill(element);
    if (!track) return this.#tell('STOPPED', 'ended');
    track.addEventListener('mute', this.#muted);
    track.addEventListener('unmute', this.#unmuted);
  }

  /** @param {boolean} held the sender, or the server, has stopped sending it for a while */
  hold(held) {
    this.#tell(held ? 'PAUSED' : 'PLAYING', 'network');
  }

  /** Take the elements out of the page. */
  remove() {
    this.play(null);
    for (const element of this.#elements.values()) discard(element);
    this.#elements.clear();
  }

  /** The picture on the screen as a data URL (PNG), or '' if none is. */
  snapshot() {
    const element = this.#lead();
    if (!this.#track || !element?.videoWidth) return '';
    const canvas = document.createElement('canvas');
    canvas.width = element.videoWidth;
    canvas.height = element.videoHeight;
    canvas.getContext('2d')?.drawImage(element, 0, 0);
    return canvas.toDataURL('image/png');
  }

  /** The element whose state counts for all. */
  #lead() {
    return this.#elements.values().next().value;
  }

  /** @param {HTMLElement} place */
  #make(place) {
    const element = document.createElement('video');
    element.autoplay = element.muted = element.playsInline = true;
    element.style.width = element.style.height = '100%';
    this.#wear(element);
    place.append(element);
    element.addEventListener('playing', () => this.#plays(element));
    element.addEventListener('pause', () => element === this.#lead() && this.#track && this.#tell('PAUSED', 'pause'));
    element.addEventListener('resize', () => {
      if (element !== this.#lead() || !element.videoWidth) return;
      this.#on.size({ newWidth: element.videoWidth, newHeight: element.videoHeight });
    });
    this.#fill(element);
    return element;
  }

  /** @param {HTMLVideoElement} element */
  #plays(element) {
    if (element !== this.#lead() || !this.#track) return;
    this.#tell('PLAYING', 'playing');
    if (this.#firstTold || !element.videoWidth) return;
    this.#firstTold = true;
    this.#on.first({ width: element.videoWidth, height: element.videoHeight });
  }

  /** @param {HTMLVideoElement} element */
  #wear(element) {
    element.style.objectFit = this.#look.fillMode ?? 'cover';
    element.style.transform = this.#look.mirror ? 'scaleX(-1)' : '';
  }

  /** @param {HTMLVideoElement} element */
  #fill(element) {
    element.srcObject = this.#track ? new MediaStream([this.#track]) : null;
    if (this.#track) element.play().catch(() => undefined); // muted: plays without a gesture
  }

  /**
   * @param {PlayState} state
   * @param {string} reason
   */
  #tell(state, reason) {
    if (state === this.#state) return;
    this.#state = state;
    this.#on.state(state, reason);
  }
}

/** @param {HTMLVideoElement} element */
function discard(element) {
  element.srcObject = null;
  element.remove();
}
