// @ts-check
/** The controls of a call and their keys. What the browser cannot do is not offered. */

import { canShare } from './devices.js';
import { byId, busy, entitle, find, write } from './dom.js';
import { alert } from './troubles.js';

/**
 * @typedef {import('./devices.js').OwnDevices} OwnDevices
 * @typedef {import('./tiles.js').Tiles} Tiles
 */

/** Key → the button that it presses, while no text is written and no dialog is open. */
const KEYS = {
  m: 'microphone', v: 'camera', s: 'share', c: 'chatOpen', l: 'links', d: 'devices', f: 'fullscreen', p: 'pip', i: 'debug', r: 'record', e: 'everyone',
};
/** @type {Record<string, string>} titles of the buttons whose words never change */
const TITLES = {
  chatOpen: 'chat', links: 'links', devices: 'devices', fullscreen: 'fullscreen', pip: 'pip', debug: 'debugTitle',
  everyone: 'everyone',
};

export class Controls {
  #devices;
  #tiles;
  /** @type {() => {in: boolean, sends: boolean}} */
  #state;

  /**
   * @param {OwnDevices} devices
   * @param {Tiles} tiles
   * @param {() => {in: boolean, sends: boolean}} state
   */
  constructor(devices, tiles, state) {
    this.#devices = devices;
    this.#tiles = tiles;
    this.#state = state;
    const press = (/** @type {string} */ id, /** @type {() => Promise<unknown>} */ work) =>
      byId(id).addEventListener('click', () => busy([byId(id)], work));
    press('microphone', () => devices.setMicrophone(!devices.micLive));
    press('camera', () => devices.setCamera(!devices.on.camera));
    press('share', () => devices.setShare(!devices.on.share));
    press('stopShare', () => devices.setShare(false));
    press('fullscreen', () => this.#fullscreen());
    press('pip', () => this.#pictureInPicture());
    byId('fullscreen').hidden = !document.fullscreenEnabled;
    byId('pip').hidden = !document.pictureInPictureEnabled;
    for (const name of ['fullscreenchange', 'enterpictureinpicture', 'leavepictureinpicture']) {
      document.addEventListener(name, () => this.draw(), true);
    }
    byId('more').addEventListener('click', () => this.#more(byId('more').ariaExpanded !== 'true'));
    byId('moreMenu').addEventListener('click', () => this.#more(false));
    byId('controls').addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || byId('more').ariaExpanded !== 'true') return;
      this.#more(false);
      byId('more').focus();
    });
    document.addEventListener('click', (event) => {
      if (!byId('controls').contains(/** @type {Node} */ (event.target))) this.#more(false);
    });
    document.addEventListener('keydown', (event) => this.#key(event));
    for (const [key, id] of Object.entries(KEYS)) {
      byId(id).dataset.shortcut = key.toUpperCase();
      if (TITLES[id]) entitle(byId(id), TITLES[id]);
    }
  }

  draw() {
    const { on, micLive } = this.#devices;
    this.#label('microphone', !micLive, micLive ? 'mute' : 'unmute', micLive ? 'mute' : 'unmute');
    this.#label('camera', !on.camera, 'camera', on.camera ? 'cameraOff' : 'cameraOn');
    this.#label('share', on.share, 'share', on.share ? 'shareStop' : 'shareStart');
    byId('sharing').hidden = !on.share;
    const { sends } = this.#state();
    const able = sends && isSecureContext && !!navigator.mediaDevices?.getUserMedia;
    byId('microphone').hidden = byId('camera').hidden = !able;
    byId('share').hidden = !sends || !canShare();
    byId('devices').hidden = !isSecureContext || !navigator.mediaDevices?.enumerateDevices;
    byId('fullscreen').ariaPressed = String(!!document.fullscreenElement);
    byId('pip').ariaPressed = String(!!document.pictureInPictureElement);
  }

  /** @param {string} id @param {boolean} pressed @param {string} word @param {string} title what a press does */
  #label(id, pressed, word, title) {
    byId(id).ariaPressed = String(pressed);
    write(find(byId(id), '.word'), word);
    entitle(byId(id), title);
  }

  /** @param {boolean} open the menu that small windows have instead of the buttons */
  #more(open) {
    byId('more').ariaExpanded = String(open);
  }

  async #fullscreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await document.documentElement.requestFullscreen().catch(() => alert({ key: 'fullscreenFailed' }));
  }

  async #pictureInPicture() {
    if (document.pictureInPictureElement) return document.exitPictureInPicture();
    const video = this.#tiles.mainPicture();
    if (!video) return alert({ key: 'pipNothing' });
    await video.requestPictureInPicture().catch(() => alert({ key: 'pipFailed' }));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (!this.#state().in || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest('input, textarea, select, dialog[open]') || document.querySelector('dialog[open]')) return;
    const id = KEYS[/** @type {keyof typeof KEYS} */ (event.key.toLowerCase())];
    if (!id || byId(id).hidden) return;
    event.preventDefault();
    byId(id).click();
  }
}
