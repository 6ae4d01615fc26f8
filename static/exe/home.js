// @ts-check
/** `/exe` without a room to go to: what it is for, a form to open a room, and the rooms that have people in them. */

import { busy, byId, find, make, write } from '../page/dom.js';
import { recall, remember } from '../page/choices.js';
import { reasonOf, wordsOf } from '../page/troubles.js';
import { userIdOf } from '../guest.js';
import { say } from '../words.js';

/**
 * @typedef {import('./parameters.js').Wish} Wish
 * @typedef {import('./service.js').Login} Login
 * @typedef {import('./service.js').Listed} Listed
 * @typedef {{
 *   login: (user: string) => Promise<Login>, rooms: (login: Login) => Promise<Listed[]>,
 *   open: (wish: Partial<Wish>) => Promise<void>,
 * }} Handlers
 */

const LIST_EVERY_MS = 10_000;

export class Home {
  #on;
  #form = /** @type {HTMLFormElement} */ (byId('exeForm'));
  #timer = 0;
  /** @type {Login | null} who asks for the rooms */
  #reader = null;
  /** @type {Wish | null} */
  #wish = null;

  /** @param {Handlers} on */
  constructor(on) {
    this.#on = on;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      const kind = /** @type {import('./parameters.js').Kind} */ (this.#field('kind').value);
      const name = this.#field('name').value.trim();
      void this.#open(byId('exeCreate'), {
        kinds: [kind], type: kind === 'live_room' ? 'LiveRoom' : 'RTCRoom', action: 'createRoom', room: '', name, title: name, role: 'anchor',
      });
    });
    this.#form.addEventListener('input', () => (byId('exeWrong').hidden = true));
    byId('exeAgain').addEventListener('click', () => this.#wish && void this.#open(byId('exeAgain'), this.#wish));
  }

  /** @param {Wish | null} wish what is known already, tickets included */
  show(wish) {
    this.#wish = wish;
    byId('exeHome').hidden = false;
    const user = this.#field('user');
    if (!user.value) user.value = wish?.nick || wish?.user || recall('name') || '';
    if (wish?.kinds.length) this.#field('kind').value = wish.kinds[0];
    const known = !!wish?.room && !wish.wrong.length;
    byId('exeAgain').hidden = !known;
    byId('exeCreate').classList.toggle('primary', !known);
    this.reword();
    clearInterval(this.#timer);
    this.#timer = setInterval(() => document.hidden || void this.#list(), LIST_EVERY_MS);
  }

  hide() {
    byId('exeHome').hidden = true;
    clearInterval(this.#timer);
  }

  reword() {
    if (byId('exeHome').hidden) return;
    write(byId('exeAgain'), 'exeAgain', this.#wish?.title || this.#wish?.room || '');
    void this.#list();
  }

  /** @param {HTMLElement} by @param {Partial<Wish>} wish */
  async #open(by, wish) {
    const typed = this.#field('user').value.trim();
    const known = this.#wish?.userSig;
    if (!typed && !known) {
      this.#wrong('nameMissing');
      this.#field('user').focus();
      return;
    }
    if (typed) remember('name', typed);
    const user = known ? /** @type {Wish} */ (this.#wish).user : userIdOf(typed, Math.random().toString(36).slice(2, 6).padEnd(4, 'x'));
    await busy([by], () => this.#on.open({ ...wish, user, nick: typed === user ? '' : typed }));
  }

  /** @param {string} key @param {...unknown} values */
  #wrong(key, ...values) {
    write(byId('exeWrong'), key, ...values);
    byId('exeWrong').hidden = false;
  }

  /** The rooms with their people; a server that lets no guests in says so instead. */
  async #list() {
    try {
      this.#reader ??= await this.#on.login('');
      const rooms = await this.#on.rooms(this.#reader);
      byId('exeForm').hidden = false;
      byId('exeNeeds').hidden = true;
      byId('exeRooms').hidden = !rooms.length;
      const list = byId('exeRoomList');
      const lines = rooms.map((room) => this.#line(room));
      const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.room;
      list.replaceChildren(...lines);
      if (focused) /** @type {HTMLElement | null} */ (list.querySelector(`[data-room="${CSS.escape(focused)}"]`))?.focus();
    } catch (error) {
      this.#reader = null; // its login may be void: the server has started anew
      byId('exeRooms').hidden = true;
      const needs = reasonOf(error) === 'no_guests';
      byId('exeNeeds').hidden = !needs;
      byId('exeForm').hidden = needs && !this.#wish?.userSig;
      if (!needs) {
        const { key, values } = wordsOf(error);
        this.#wrong(key, ...(values ?? []));
      }
    }
  }

  /** @param {Listed} listed */
  #line({ kind, room, name, people }) {
    const line = make('li');
    const pick = make('button');
    pick.type = 'button';
    pick.dataset.room = room;
    const who = make('span', 'people', people.length ? say('people', people.length) : say('nobody'));
    who.title = people.join(', ');
    pick.append(make('b', '', name), make('span', 'info', say(`kind_${kind}`)), who);
    pick.addEventListener('click', () =>
      this.#open(pick, {
        kinds: [kind], type: kind === 'live_room' ? 'LiveRoom' : 'RTCRoom', action: 'enterRoom', room, name, title: name,
        role: kind === 'live_room' ? 'audience' : 'anchor',
      }),
    );
    line.append(pick);
    return line;
  }

  /** @param {'user' | 'kind' | 'name'} name @returns {HTMLInputElement} */
  #field(name) {
    return /** @type {HTMLInputElement} */ (find(this.#form, `[name=${name}]`));
  }
}
