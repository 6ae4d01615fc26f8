// @ts-check
/** Before a call: who, where, how one looks and sounds, and which rooms have people in them. */

import { listRooms } from '../guest.js';
import { recall, remember } from './choices.js';
import { byId, busy, entitle, find, make, write } from './dom.js';
import { Meter } from './meter.js';
import { Pickers } from './pickers.js';
import { alert, reasonOf, wordsOf } from './troubles.js';
import { say } from '../words.js';

/**
 * @typedef {import('./devices.js').OwnDevices} OwnDevices
 * @typedef {{name: string, room: string}} Entry
 */

const LIST_EVERY_MS = 10_000;
const ROOM = /^[\x21-\x7e]{1,64}$/;

export class Lobby {
  #devices;
  #on;
  #form = /** @type {HTMLFormElement} */ (byId('join'));
  #pickers;
  #meter = new Meter(/** @type {HTMLMeterElement} */ (byId('level')));
  /** @type {MediaStreamTrack | null} what the meter listens to */
  #heard = null;
  #timer = 0;
  #track;

  /**
   * @param {OwnDevices} devices
   * @param {{join: (entry: Entry) => void, link: (fragment: string) => void, microphone: () => MediaStreamTrack | null}} on
   */
  constructor(devices, on) {
    this.#devices = devices;
    this.#on = on;
    this.#track = on.microphone;
    this.#pickers = new Pickers(find(byId('lobby'), '.pickers'), devices, (kind, error) =>
      alert(wordsOf(error, kind === 'speaker' ? undefined : kind)),
    );
    byId('previewStart').addEventListener('click', () => this.#preview());
    const camera = byId('lobbyCamera');
    const microphone = byId('lobbyMicrophone');
    camera.addEventListener('click', () => busy([camera], () => devices.want('camera', !devices.wanted.camera)));
    microphone.addEventListener('click', () => busy([microphone], () => devices.want('microphone', !devices.wanted.microphone)));
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#form.addEventListener('input', () => this.#clearWrong());
    navigator.mediaDevices?.addEventListener?.('devicechange', () => this.shown && void this.#pickers.fill());
  }

  get shown() {
    return !byId('lobby').hidden;
  }

  /** @param {{room?: string, name?: string}} [entry] what is known already */
  async show({ room, name } = {}) {
    const place = this.#field('room');
    const who = this.#field('user');
    if (room || !place.value) place.value = room || recall('room') || '1001';
    if (name || !who.value) who.value = name || recall('name') || '';
    byId('lobby').hidden = false;
    this.draw();
    void this.#list();
    clearInterval(this.#timer);
    this.#timer = setInterval(() => document.hidden || void this.#list(), LIST_EVERY_MS);
    await this.#devices.showIn(find(byId('preview'), '.view'));
    if (await mayStart()) await this.#preview();
    void this.#pickers.fill();
  }

  /** What runs goes on running: the call takes it over. */
  hide() {
    byId('lobby').hidden = true;
    clearInterval(this.#timer);
    this.#meter.stop();
    this.#heard = null;
  }

  focus() {
    const empty = [this.#field('user'), this.#field('room')].find((field) => !field.value);
    (empty ?? byId('enter')).focus({ preventScroll: true });
  }

  draw() {
    if (!this.shown) return;
    const { on, wanted } = this.#devices;
    const able = isSecureContext && !!navigator.mediaDevices?.getUserMedia;
    byId('preview').classList.toggle('pictured', on.camera);
    find(byId('preview'), '.switches').hidden = !able;
    byId('lobbyMicrophone').ariaPressed = String(!wanted.microphone);
    byId('lobbyCamera').ariaPressed = String(!wanted.camera);
    entitle(byId('lobbyMicrophone'), wanted.microphone ? 'mute' : 'unmute');
    entitle(byId('lobbyCamera'), wanted.camera ? 'cameraOff' : 'cameraOn');
    const asked = on.camera || on.microphone;
    byId('previewStart').hidden = !able || asked || (!wanted.camera && !wanted.microphone);
    const word = !able ? 'previewInsecure' : on.camera ? '' : asked || !wanted.camera ? 'cameraIsOff' : 'previewHint';
    write(byId('previewWord'), word);
    byId('previewWord').hidden = !word;
    byId('level').hidden = !on.microphone;
    const track = this.#devices.micLive ? this.#track() : null;
    if (track !== this.#heard) {
      this.#heard = track;
      this.#meter.listen(track);
      void this.#pickers.fill();
    }
    const sends = able && (wanted.camera || wanted.microphone);
    write(byId('joinHint'), !able ? 'joinHintWatch' : asked || !sends ? 'joinHintReady' : 'joinHint');
  }

  /** Every list of words that is not kept by the elements themselves. */
  reword() {
    void this.#pickers.fill();
    if (this.shown) void this.#list();
  }

  async #preview() {
    const { wanted } = this.#devices;
    const buttons = [byId('previewStart'), byId('lobbyCamera'), byId('lobbyMicrophone')];
    await busy(buttons, async () => {
      if (wanted.camera) await this.#devices.want('camera', true);
      if (wanted.microphone) await this.#devices.want('microphone', true);
    });
    void this.#pickers.fill();
  }

  #submit() {
    const link = this.#field('link');
    if (!find(this.#form, '.byLink').hidden) {
      const fragment = fragmentOf(link.value.trim());
      if (fragment) return this.#on.link(fragment);
      return this.#wrong(link, 'linkWrong', 'badLink');
    }
    const name = this.#field('user').value.trim();
    const room = this.#field('room').value.trim();
    if (!name) return this.#wrong(this.#field('user'), 'nameWrong', 'nameMissing');
    if (!ROOM.test(room)) return this.#wrong(this.#field('room'), 'roomWrong', 'badRoom');
    remember('name', name);
    remember('room', room);
    this.#on.join({ name, room });
  }

  /** @param {HTMLInputElement} field @param {string} id @param {string} key */
  #wrong(field, id, key) {
    write(byId(id), key);
    byId(id).hidden = false;
    field.ariaInvalid = 'true';
    field.focus();
  }

  #clearWrong() {
    for (const id of ['nameWrong', 'roomWrong', 'linkWrong']) byId(id).hidden = true;
    for (const field of this.#form.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
  }

  /** The rooms with their people; a server that lets no guests in asks for a link instead. */
  async #list() {
    const place = byId('rooms');
    try {
      const rooms = await listRooms();
      this.#byLink(false);
      place.hidden = !rooms.length;
      const lines = rooms.map(({ room, info, members }) => {
        const line = make('li');
        const pick = make('button');
        pick.type = 'button';
        pick.dataset.room = room;
        const people = make('span', 'people', members.length ? say('people', members.length) : say('nobody'));
        people.title = members.map((member) => member.nick).join(', ');
        pick.append(make('b', '', say('room', room)), make('span', 'info', info), people);
        pick.addEventListener('click', () => {
          this.#field('room').value = room;
          this.#clearWrong();
          (this.#field('user').value ? byId('enter') : this.#field('user')).focus();
        });
        line.append(pick);
        return line;
      });
      const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.room;
      byId('roomList').replaceChildren(...lines);
      if (focused) /** @type {HTMLElement | null} */ (byId('roomList').querySelector(`[data-room="${CSS.escape(focused)}"]`))?.focus();
    } catch (error) {
      place.hidden = true;
      if (reasonOf(error) === 'no_guests') this.#byLink(true);
    }
  }

  /** @param {boolean} needed */
  #byLink(needed) {
    find(this.#form, '.byLink').hidden = !needed;
    find(this.#form, '.byName').hidden = needed;
    if (needed) write(byId('joinHint'), 'joinHintLink');
    else this.draw();
  }

  /** @param {'user' | 'room' | 'link'} name @returns {HTMLInputElement} */
  #field(name) {
    return /** @type {HTMLInputElement} */ (find(this.#form, `[name=${name}]`));
  }
}

/** Whether the camera may start without a question of the browser: it was allowed before, and used here. */
async function mayStart() {
  if (recall('camera') !== 'on' && recall('microphone') !== 'on') return false;
  try {
    const names = /** @type {PermissionName[]} */ (/** @type {unknown} */ (['camera', 'microphone']));
    const states = await Promise.all(names.map((name) => navigator.permissions.query({ name })));
    return states.every(({ state }) => state === 'granted');
  } catch {
    return false; // a browser that does not tell
  }
}

/** @param {string} text a link to a room @returns {string} its fragment, '' if it leads nowhere */
function fragmentOf(text) {
  const fragment = text.includes('#') ? text.slice(text.indexOf('#') + 1) : text;
  const place = new URLSearchParams(fragment);
  return place.get('room') && place.get('user') ? fragment : '';
}
