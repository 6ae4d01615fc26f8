// @ts-check
/** Recording of the call into files on this computer: the button, the mark in the header, what became of it. */

import { Recorder } from '../sdk/recorder.js';
import { announce, busy, byId, dialog, entitle, find, write } from './dom.js';
import { alert, reasonOf, toast, wordsOf } from './troubles.js';
import { say } from '../words.js';

/**
 * @typedef {import('../sdk/trtc.js').default} Library
 * @typedef {import('./tiles.js').Tiles} Tiles
 */

const LONG = 1280;
const SHORT = 720;
/** @type {{showDirectoryPicker?: (options: object) => Promise<FileSystemDirectoryHandle>}} */
const picker = /** @type {any} */ (globalThis);

export class Recording {
  #trtc;
  #tiles;
  #room;
  #changed;
  /** @type {Recorder | null} */
  #recorder = null;
  #clock = 0;

  /**
   * @param {Library} trtc
   * @param {Tiles} tiles
   * @param {{room: () => string, changed: () => void}} on `room`: what the files are called after
   */
  constructor(trtc, tiles, { room, changed }) {
    this.#trtc = trtc;
    this.#tiles = tiles;
    this.#room = room;
    this.#changed = changed;
    byId('record').addEventListener('click', () => (this.on ? this.stop() : dialog('recordDialog').showModal()));
    byId('recordMark').addEventListener('click', () => this.stop());
    byId('recordStart').addEventListener('click', () => this.start());
    byId('recordFolder').addEventListener('click', () => this.#intoFolder());
    byId('recordFolder').hidden = !picker.showDirectoryPicker || !isSecureContext;
    addEventListener('beforeunload', (event) => this.on && event.preventDefault());
  }

  get on() {
    return !!this.#recorder;
  }

  /** @param {FileSystemDirectoryHandle | null} [folder] */
  async start(folder = null) {
    dialog('recordDialog').close();
    if (this.on) return;
    const { clientWidth, clientHeight } = byId('tiles');
    const upright = clientHeight > clientWidth;
    const recorder = new Recorder(this.#trtc, {
      width: upright ? SHORT : LONG,
      height: upright ? LONG : SHORT,
      pictures: (width, height) => this.#tiles.pictures(width, height),
      written: (file) => toast(say('recorded', file.name, megabytes(file.bytes))),
      failed: (error) => this.#failed(error),
    });
    this.#recorder = recorder;
    await busy([byId('record')], async () => {
      try {
        await recorder.start({ name: `call_${this.#room()}`.replace(/[^A-Za-z0-9_-]+/g, '_'), folder });
        announce(say('recordOn'));
      } catch (error) {
        this.#recorder = null;
        const ways = ['needs_click', 'no_sound_output'].includes(reasonOf(error)) ? [{ key: 'recordStart', act: () => void this.start(folder) }] : [];
        alert(wordsOf(error), ways);
      }
    });
    this.#clock = setInterval(() => this.draw(), 500);
    this.draw();
    this.#changed();
  }

  /** Resolves when the files are whole. Nothing happens if it does not run. */
  async stop() {
    const recorder = this.#recorder;
    if (recorder?.state !== 'on') return;
    await busy([byId('record'), byId('recordMark')], () => recorder.stop());
    this.#over();
    announce(say('recordOff'));
  }

  draw() {
    const on = this.#recorder?.state === 'on' || this.#recorder?.state === 'stopping';
    byId('record').hidden = !Recorder.format;
    byId('record').ariaPressed = String(on);
    write(find(byId('record'), '.word'), on ? 'recordStop' : 'record');
    entitle(byId('record'), on ? 'recordStop' : 'record', 'R');
    byId('recordMark').hidden = !on;
    entitle(byId('recordMark'), 'recordStop');
    byId('recordTime').textContent = clockOf(this.#recorder?.elapsedMs ?? 0);
  }

  async #intoFolder() {
    try {
      const folder = await picker.showDirectoryPicker?.({ mode: 'readwrite', startIn: 'videos', id: 'recordings' });
      if (folder) await this.start(folder);
    } catch (error) {
      if (/** @type {DOMException} */ (error).name !== 'AbortError') alert({ key: 'recordNoFolder', values: [String(error)] });
    }
  }

  /** @param {unknown} error */
  #failed(error) {
    this.#over();
    alert(wordsOf(error), [{ key: 'recordAgain', act: () => void this.start() }]);
  }

  #over() {
    this.#recorder = null;
    clearInterval(this.#clock);
    this.draw();
    this.#changed();
  }
}

/** @param {number} ms @returns {string} as in 04:05 or 1:04:05 */
function clockOf(ms) {
  const seconds = Math.floor(ms / 1000);
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:` : ''}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** @param {number} bytes */
const megabytes = (bytes) => (bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0);
