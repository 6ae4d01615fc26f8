// @ts-check
/**
 * One tile for each member and one for each shared screen: picture or initial, name, badges, quality, and where it
 * stands. What is on the stage: the pinned tile, else a shared screen.
 */

import { byId, copyOf, entitle, find, write } from './dom.js';
import { arrange, mayFill } from './layout.js';
import { say } from '../words.js';

/**
 * @typedef {import('../sdk/trtc.js').default} Library
 * @typedef {import('../sdk/remote.js').StreamInfo} StreamInfo
 * @typedef {{userId: string, role: 'anchor' | 'audience', nick: string}} Me
 */

const COLOURS = 6;
const MEDIA = /** @type {const} */ (['audio', 'video', 'words']);
/** Louder than a quiet room's noise: -42 dB of full scale, on the library's scale of 0 to 100. */
const SPEECH = 30;

export class Tiles {
  #trtc;
  #failed;
  #list = byId('tiles');
  /** @type {Map<string, HTMLElement>} by user and stream type, in the order of coming */
  #shown = new Map();
  /** @type {string} key of the tile that the visitor wants large */
  #pinned = '';
  /** The presenter of a live room, who stands large among its guests. */
  #host = '';
  /** @type {Me | null} */
  #me = null;
  /** @type {(userId: string) => void} */
  #menu = () => undefined;

  /**
   * @param {Library} trtc
   * @param {(error: unknown) => void} failed
   */
  constructor(trtc, failed) {
    this.#trtc = trtc;
    this.#failed = failed;
    new ResizeObserver(() => this.#place()).observe(this.#list);
  }

  /** The element in which the own camera is shown. */
  ownView() {
    return find(this.#tile(this.#me?.userId ?? '', 'main'), '.view');
  }

  /**
   * @param {Me | null} me null: nothing is shown
   * @param {{camera: boolean, micLive: boolean}} own
   */
  draw(me, own) {
    this.#me = me;
    const room = me && this.#trtc.getRoom();
    const wanted = new Set();
    // Who only watches a live room, and that may be hundreds, has no tile there.
    const live = room?.kind === 'live_room';
    this.#host = live ? room.creator : '';
    const seen = room?.members.filter(({ role }) => !live || role === 'anchor') ?? [];
    if (me && room) {
      if (!live || me.role === 'anchor') {
        const mine = this.#tile(me.userId, 'main');
        wanted.add(mine);
        write(find(mine, '.name'), 'you', me.nick || me.userId);
        this.#initial(mine, me.nick || me.userId, me.userId);
        find(mine, '.muted').hidden = own.micLive;
        mine.classList.toggle('pictured', own.camera);
      }
      for (const { userId, nick } of seen) {
        const streams = room.streams.filter((info) => info.userId === userId);
        wanted.add(this.#drawTile(userId, nick || userId, 'main', streams.find((info) => info.stream === 'main')));
        const screen = streams.find((info) => info.stream === 'aux');
        if (screen) wanted.add(this.#drawTile(userId, nick || userId, 'sub', screen));
      }
    }
    for (const [key, element] of this.#shown) {
      if (wanted.has(element)) continue;
      if (room) void this.#trtc.stopRemoteVideo(whose(element));
      element.remove();
      this.#shown.delete(key);
    }
    if (!this.#shown.has(this.#pinned)) this.#pinned = '';
    byId('alone').hidden = !room || live || room.members.length > 0;
    this.#place();
  }

  /** @param {(userId: string) => void} open the menu of a member's tile was pressed */
  armMenus(open) {
    this.#menu = open;
  }

  /**
   * Who is muted by a moderator, and whose tile has a menu.
   * @param {Record<string, import('../sdk/moderation.js').Muted>} members
   * @param {(userId: string) => boolean} hasMenu
   */
  moderation(members, hasMenu) {
    for (const element of this.#shown.values()) {
      const { userId, streamType } = whose(element);
      const muted = members[userId];
      const stopped = find(element, '.stopped');
      stopped.hidden = streamType === 'sub' || !muted;
      if (muted) stopped.title = say('stoppedBadge', MEDIA.filter((one) => muted[one]).map((one) => say(`medium_${one}`)).join(', '));
      find(stopped, '.unseen').textContent = stopped.title;
      const menu = find(element, '.menu');
      menu.hidden = streamType === 'sub' || userId === this.#me?.userId || !hasMenu(userId);
      menu.title = say('moderate', find(element, '.name').textContent);
      menu.setAttribute('aria-label', menu.title);
    }
  }

  /** Show a picture that has come. @param {{userId: string, streamType: 'main' | 'sub'}} which */
  picture({ userId, streamType }) {
    const view = find(this.#tile(userId, streamType), '.view');
    if (view.childElementCount) return; // still attached from before
    this.#trtc.startRemoteVideo({ userId, streamType, view }).catch(this.#failed);
  }

  /** @param {string} userId @param {'main' | 'sub'} streamType @param {boolean} slow its picture waits for the network */
  slow(userId, streamType, slow) {
    const element = this.#shown.get(`${userId}/${streamType}`);
    if (element) find(element, '.slow').hidden = !slow;
  }

  /** @param {{userId: string, volume: number}[]} loud */
  speaking(loud) {
    const speakers = new Set(loud.filter(({ volume }) => volume > SPEECH).map(({ userId }) => userId || this.#me?.userId));
    for (const element of this.#shown.values()) {
      element.classList.toggle('speaking', speakers.has(element.dataset.user) && element.dataset.stream === 'main');
    }
  }

  /** @param {string} userId @param {number} level 0 unknown, 1 the best … 6 gone, as the library counts */
  quality(userId, level) {
    const element = this.#shown.get(`${userId}/main`);
    if (!element) return;
    const bars = find(element, '.bars');
    bars.hidden = level < 1;
    const lit = level <= 1 ? 4 : level === 2 ? 3 : level <= 4 ? 2 : level === 5 ? 1 : 0;
    bars.dataset.lit = String(lit);
    const words = say(`quality${lit}`);
    bars.setAttribute('aria-label', words);
    bars.title = words;
  }

  /** @returns {HTMLVideoElement | null} the picture that matters most now, for a window of its own */
  mainPicture() {
    const order = [...this.#shown.values()].sort((a, b) => rank(b) - rank(a));
    for (const element of order) {
      const video = element.querySelector('video');
      if (video && element.classList.contains('pictured')) return video;
    }
    return null;
  }

  /**
   * Where everything stands in a picture of this size, by the rules of the page; the own screen too, which the page
   * itself does not show. For a recording.
   * @param {number} width
   * @param {number} height
   * @returns {import('../sdk/recorder/picture.js').Part[]}
   */
  pictures(width, height) {
    const elements = /** @type {HTMLElement[]} */ ([...this.#list.children]);
    const parts = elements.map((element) => ({
      userId: element.dataset.user === this.#me?.userId ? '' : element.dataset.user ?? '',
      streamType: /** @type {'main' | 'sub'} */ (element.dataset.stream),
      name: find(element, '.name').textContent ?? '',
      pictured: element.classList.contains('pictured'),
      whole: element.dataset.stream === 'sub',
      colour: getComputedStyle(find(element, '.initial')).backgroundColor,
    }));
    let stage = elements.indexOf(/** @type {HTMLElement} */ (this.#staged(elements)));
    const screen = this.#trtc.getVideoTrack({ streamType: 'sub' });
    if (this.#me && screen && screen !== this.#trtc.getVideoTrack()) {
      const name = say('screenOf', this.#me.nick || this.#me.userId);
      parts.push({ userId: '', streamType: 'sub', name, pictured: true, whole: true, colour: '' });
      if (!this.#shown.has(this.#pinned)) stage = parts.length - 1;
    }
    const boxes = arrange(parts.length, width, height, stage);
    return parts.map((part, index) => ({ ...part, ...boxes[index] }));
  }

  /** @param {string} userId @param {string} name @param {'main' | 'sub'} streamType @param {StreamInfo} [info] */
  #drawTile(userId, name, streamType, info) {
    const element = this.#tile(userId, streamType);
    if (streamType === 'sub') write(find(element, '.name'), 'screenOf', name);
    else find(element, '.name').textContent = name;
    this.#initial(element, name, userId);
    find(element, '.rtmp').hidden = info?.transport !== 'rtmp';
    find(element, '.muted').hidden = streamType === 'sub' || (!!info?.audio && !info.audioMuted);
    element.classList.toggle('pictured', !!info?.video && !info.videoMuted);
    return element;
  }

  /** @param {HTMLElement} element @param {string} name @param {string} userId */
  #initial(element, name, userId) {
    const initial = find(element, '.initial');
    initial.textContent = [...name][0]?.toUpperCase() ?? '';
    const sum = [...userId].reduce((total, letter) => total + (letter.codePointAt(0) ?? 0), 0);
    initial.dataset.colour = String(sum % COLOURS);
  }

  /**
   * @param {string} userId
   * @param {'main' | 'sub'} streamType
   * @returns {HTMLElement} the tile, made if need be
   */
  #tile(userId, streamType) {
    const key = `${userId}/${streamType}`;
    let element = this.#shown.get(key);
    if (!element) {
      element = find(copyOf('tile'), '.tile');
      element.dataset.user = userId;
      element.dataset.stream = streamType;
      const pin = find(element, '.pin');
      entitle(pin, 'pin');
      pin.addEventListener('click', () => this.#pin(key));
      find(element, '.menu').addEventListener('click', () => this.#menu(userId));
      find(element, '.view').addEventListener('dblclick', () => this.#pin(key));
      // Resizes do not bubble; the library puts the video there and takes it away.
      element.addEventListener('resize', () => this.#fit(), true);
      element.addEventListener('loadedmetadata', () => this.#fit(), true);
      this.#shown.set(key, element);
      if (userId === this.#me?.userId) this.#list.prepend(element);
      else this.#list.append(element);
    }
    return element;
  }

  /** The tile that stands large: the pinned one, else a screen, else the presenter. @param {HTMLElement[]} elements */
  #staged(elements) {
    const host = this.#shown.get(`${this.#host}/main`);
    return this.#shown.get(this.#pinned) ?? elements.find((element) => element.dataset.stream === 'sub') ?? host;
  }

  /** @param {string} key */
  #pin(key) {
    this.#pinned = this.#pinned === key ? '' : key;
    this.#place();
  }

  #place() {
    const elements = /** @type {HTMLElement[]} */ ([...this.#list.children]);
    const pinned = this.#shown.get(this.#pinned);
    const stage = this.#staged(elements);
    const { clientWidth, clientHeight } = this.#list;
    const boxes = arrange(elements.length, clientWidth, clientHeight, stage ? elements.indexOf(stage) : -1);
    elements.forEach((element, index) => {
      const box = boxes[index];
      if (!box) return;
      for (const side of /** @type {const} */ (['left', 'top', 'width', 'height'])) {
        element.style.setProperty(`--${side}`, `${Math.floor(box[side])}px`);
      }
      element.classList.toggle('small', box.width < 200 || box.height < 130);
      element.classList.toggle('staged', element === stage && elements.length > 1);
      const pin = find(element, '.pin');
      pin.hidden = elements.length < 2;
      pin.ariaPressed = String(element === pinned);
      entitle(pin, element === pinned ? 'unpin' : 'pin');
    });
    this.#list.dataset.count = String(elements.length);
    this.#fit();
  }

  /** Cut no heads: a picture whose shape is far from its tile's is shown whole. */
  #fit() {
    for (const element of this.#shown.values()) {
      const video = element.querySelector('video');
      if (!video?.videoWidth || !element.clientHeight) continue;
      const fills = mayFill(video.videoWidth / video.videoHeight, element.clientWidth / element.clientHeight);
      element.classList.toggle('whole', element.dataset.stream === 'sub' || !fills);
    }
  }
}

/** @param {HTMLElement} element */
const whose = (element) => ({
  userId: element.dataset.user ?? '',
  streamType: /** @type {'main' | 'sub'} */ (element.dataset.stream),
});

/** @param {HTMLElement} element */
function rank(element) {
  const has = (/** @type {string} */ name) => Number(element.classList.contains(name));
  return 4 * has('staged') + 2 * has('speaking') + Number(!element.previousElementSibling ? 0 : 1);
}
