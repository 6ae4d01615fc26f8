// @ts-check
/** The panel of a RoomService room: who wants to be seen and heard, who is, who watches. */

import { announce, busy, byId, copyOf, find, make, write } from '../page/dom.js';
import { alert, clearAlerts, toast, wordsOf } from '../page/troubles.js';
import { language, say } from '../words.js';
import { LinkMic } from './linkmic.js';

/**
 * @typedef {import('../sdk/trtc.js').default} Library
 * @typedef {import('../page/tiles.js').Me} Me
 * @typedef {{
 *   me: () => Me | null, linked: (on: boolean) => Promise<void>, opened: () => void,
 *   mayModerate: (userId: string) => boolean, moderate: (userId: string) => void,
 * }} Handlers `linked`: this member sends from now on, or no more; `opened`: the panel was opened
 */

const SHOWN = 100;

export class People {
  #trtc;
  #me;
  #linkMic;
  #opened;
  #mayModerate;
  #moderate;
  #known = '';

  /**
   * @param {Library} trtc
   * @param {Handlers} on
   */
  constructor(trtc, { me, linked, opened, mayModerate, moderate }) {
    this.#trtc = trtc;
    this.#me = me;
    this.#opened = opened;
    this.#mayModerate = mayModerate;
    this.#moderate = moderate;
    this.#linkMic = new LinkMic(trtc, {
      changed: () => this.draw(),
      asked: ({ name }) => {
        announce(say('linkAsks', name));
        if (byId('people').hidden) toast(say('linkAsks', name));
      },
      linked,
      told: (key, ...values) => (key === 'linkAccepted' ? toast(say(key)) : alert({ key, values })),
    });
    byId('peopleOpen').addEventListener('click', () => this.toggle());
    byId('peopleClose').addEventListener('click', () => this.toggle(false));
    byId('people').addEventListener('keydown', (event) => event.key === 'Escape' && this.toggle(false));
    byId('linkMic').addEventListener('click', () => busy([byId('linkMic')], () => this.#link()));
  }

  /** @param {boolean} [wanted] */
  toggle(wanted = byId('people').hidden) {
    if (wanted === !byId('people').hidden) return;
    byId('people').hidden = !wanted;
    byId('peopleOpen').ariaExpanded = String(wanted);
    if (wanted) this.#opened();
    (wanted ? byId('peopleClose') : byId('peopleOpen')).focus();
    this.draw();
  }

  /** The room, a role or the language has changed. */
  draw() {
    const room = this.#trtc.getRoom();
    const me = this.#me();
    const kind = room?.kind ?? 'page';
    const here = !!room && !!me && kind.endsWith('_room');
    byId('peopleOpen').hidden = !here;
    if (!here) {
      for (const key of ['linkRejected', 'linkNoAnswer', 'linkPresenterAway', 'linkFull', 'linkEnded']) clearAlerts(key);
      byId('people').hidden = true;
      byId('peopleOpen').ariaExpanded = 'false';
    }
    this.#linkMic.entered();
    this.#linkMic.tidy();
    const { part, asking } = this.#linkMic;
    byId('linkMic').hidden = !['watching', 'asking', 'linked'].includes(part);
    write(byId('linkMicWord'), part === 'linked' ? 'linkLeave' : part === 'asking' ? 'linkCancel' : 'linkAsk');
    byId('linkMic').ariaPressed = String(part !== 'watching');
    byId('asking').textContent = String(asking.length);
    byId('asking').hidden = !asking.length;
    byId('asking').setAttribute('aria-label', say('linkCount', asking.length));
    if (!room || !me || byId('people').hidden) return;
    const known = JSON.stringify([room.members, room.creator, me, part, asking, language(), this.#trtc.getRoom()?.moderation.moderator]);
    if (known === this.#known) return; // whoever goes through the list by keyboard keeps the place
    this.#known = known;
    byId('requests').replaceChildren(...asking.map((one) => this.#request(one)));
    byId('requestsTitle').hidden = !asking.length;
    const everybody = [{ userId: me.userId, nick: me.nick, role: me.role }, ...room.members];
    const line = (/** @type {typeof everybody[0]} */ member) => this.#line(member, room.creator, part === 'presenter');
    fill('sendingList', everybody.filter(({ role }) => role === 'anchor').map(line));
    fill('watchingList', everybody.filter(({ role }) => role === 'audience').map(line));
  }

  /** Ask to be seen and heard, withdraw that, or watch only. */
  async #link() {
    const { part } = this.#linkMic;
    if (part === 'watching') await this.#linkMic.ask(this.#me()?.nick || this.#me()?.userId || '');
    else await this.#linkMic.unlink();
  }

  /** @param {import('./linkmic.js').Asking} asking */
  #request({ userId, name }) {
    const line = make('li', 'request');
    line.dataset.user = userId;
    line.append(make('b', '', name), this.#button('linkAccept', 'primary', () => this.#linkMic.answer(userId, true)), this.#button('linkReject', '', () => this.#linkMic.answer(userId, false)));
    return line;
  }

  /**
   * @param {{userId: string, nick: string, role: string}} member
   * @param {string} creator
   * @param {boolean} presents whether this page's member leads the room
   */
  #line({ userId, nick, role }, creator, presents) {
    const line = make('li', 'person');
    line.dataset.user = userId;
    const own = userId === this.#me()?.userId;
    line.append(make('span', 'name', own ? say('you', nick || userId) : nick || userId));
    if (userId === creator) line.append(make('span', 'badge', say('presenter')));
    else if (presents && role === 'anchor') line.append(this.#button('linkEnd', '', () => this.#linkMic.end(userId)));
    if (this.#mayModerate(userId)) line.append(this.#menu(userId, nick || userId));
    return line;
  }

  /** @param {string} userId @param {string} name */
  #menu(userId, name) {
    const menu = find(copyOf('personMenu'), 'button');
    menu.title = say('moderate', name);
    menu.setAttribute('aria-label', menu.title);
    menu.addEventListener('click', () => this.#moderate(userId));
    return menu;
  }

  /** @param {string} key @param {string} name @param {() => Promise<unknown>} act */
  #button(key, name, act) {
    const button = make('button', name);
    button.type = 'button';
    button.dataset.act = key;
    write(button, key);
    button.addEventListener('click', () => busy([button], () => act().catch((error) => alert(wordsOf(error)))));
    return button;
  }
}

/** @param {string} id @param {HTMLElement[]} lines */
function fill(id, lines) {
  byId(id).replaceChildren(...lines.slice(0, SHOWN));
  byId(`${id}Title`).hidden = !lines.length;
  write(byId(`${id}Title`), id, lines.length);
}
