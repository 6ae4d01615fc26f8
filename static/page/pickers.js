// @ts-check
/** The three choices of a device, as they stand in the lobby and in the dialog of the call. */

import { canChooseSpeaker, LISTS } from './devices.js';
import { copyOf, find, make } from './dom.js';
import { say } from '../words.js';

/** @typedef {import('./devices.js').Kind} Kind */

const KINDS = /** @type {Kind[]} */ (['camera', 'microphone', 'speaker']);

export class Pickers {
  #root;
  #devices;

  /**
   * @param {HTMLElement} root
   * @param {import('./devices.js').OwnDevices} devices
   * @param {(kind: Kind, error: unknown) => void} wrong a device that was chosen does not start
   */
  constructor(root, devices, wrong) {
    this.#root = root;
    this.#devices = devices;
    root.append(copyOf('pickers'));
    for (const kind of KINDS) {
      const select = this.#select(kind);
      select.addEventListener('change', async () => {
        select.ariaBusy = 'true';
        await devices.choose(kind, select.value).catch((error) => wrong(kind, error));
        select.removeAttribute('aria-busy');
        void this.fill();
      });
    }
  }

  /** Ask the browser again; names of devices are told only to a page that may use one. */
  async fill() {
    for (const kind of KINDS) {
      const list = await LISTS[kind]().catch(() => []);
      const known = list.filter((device) => device.deviceId);
      const row = find(this.#root, `.${kind}`);
      row.hidden = !known.length || (kind === 'speaker' && !canChooseSpeaker());
      const select = this.#select(kind);
      const current = this.#devices.current(kind);
      const chosen = known.some((device) => device.deviceId === current) ? current : '';
      const options = known.map((device, index) => {
        const option = make('option', '', device.label || `${say(kind)} ${index + 1}`);
        option.value = device.deviceId;
        return option;
      });
      if (!chosen) {
        const any = make('option', '', say('anyDevice'));
        any.value = '';
        options.unshift(any);
      }
      select.replaceChildren(...options);
      select.value = chosen;
    }
    this.#root.hidden = KINDS.every((kind) => find(this.#root, `.${kind}`).hidden);
  }

  /** @param {Kind} kind @returns {HTMLSelectElement} */
  #select(kind) {
    return /** @type {HTMLSelectElement} */ (find(this.#root, `.${kind} select`));
  }
}
