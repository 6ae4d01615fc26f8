// @ts-check
/**
 * `/exe`: the page in the role of WebEXE, the PC program of 2018 (docs/exe.md). It is the page of the call with another
 * way in: parameters instead of a lobby, rooms of RoomService, and what was asked for besides: a recording, a push to
 * elsewhere, panels that are not shown, a window that listens.
 */

import { guestLogin, listRooms } from './service.js';
import { Home } from './home.js';
import { Opener } from './opener.js';
import { isEmpty, readWish, shownAddress } from './parameters.js';
import { Pushing } from './pushing.js';
import { byId } from '../page/dom.js';
import { alert, reasonOf, wordsOf } from '../page/troubles.js';
import { say } from '../words.js';

/**
 * @typedef {import('../sdk/trtc.js').default} Library
 * @typedef {import('./parameters.js').Wish} Wish
 * @typedef {import('./parameters.js').Kind} Kind
 * @typedef {{
 *   join: (place: URLSearchParams) => void, home: () => void, leave: () => Promise<void>,
 *   record: () => Promise<void>, refuse: (words: import('../page/troubles.js').Words) => void,
 * }} Page what the page does for us: `home` shows what stands before a call, which is `show()` here
 */

export class Exe {
  #trtc;
  #page;
  #opener;
  #home;
  #pushing;
  /** @type {Wish | null} */
  #wish = null;
  /** Kinds that the room may still be, if it is not of the first. @type {Kind[]} */
  #kinds = [];
  #told = '';

  /** @param {Library} trtc @param {Page} page */
  constructor(trtc, page) {
    this.#trtc = trtc;
    this.#page = page;
    this.#opener = new Opener(() => void page.leave().then(() => window.close()));
    this.#pushing = new Pushing(trtc, (detail) => this.#event('push', detail));
    this.#home = new Home({
      login: (user) => (this.#wish?.userSig ? Promise.resolve(this.#login(this.#wish)) : guestLogin(user)),
      rooms: listRooms,
      open: (wish) => this.#enter({ ...this.#nothing(), ...this.#wish, hidden: this.#wish?.hidden ?? [], notes: [], wrong: [], ...wish }),
    });
    addEventListener('beforeunload', (event) => this.#leads() && (trtc.getRoom()?.members.length ?? 0) > 0 && event.preventDefault());
    this.#listen();
  }

  /** Whether this page was opened as `/exe`. */
  static here = () => location.pathname === '/exe';

  /** Take what the address says, and take the tickets of a query out of it. Called before anything else. */
  static takeAddress() {
    const { search, hash, pathname } = location;
    if (search) history.replaceState(history.state, '', pathname + shownAddress(search, hash));
    return { query: search, fragment: hash };
  }

  /** Go in, if it is known where and as whom. @param {{query: string, fragment: string}} address as it was at first */
  async route({ query, fragment }) {
    if (!this.#wish) {
      const waits = Opener.waits(fragment);
      const object = waits ? await this.#opener.ask() : null;
      if (waits && !object) alert({ key: 'exeSilent' });
      if (object || (!waits && !isEmpty(query, fragment))) this.#wish = readWish(query, fragment, object, location.host);
    }
    const wish = this.#wish;
    if (!wish || (!wish.room && wish.action !== 'createRoom')) return this.#page.home();
    if (wish.wrong.length) {
      this.#failed('bad_request', say(wish.wrong[0].key, ...(wish.wrong[0].values ?? [])));
      return this.#page.refuse(wish.wrong[0]);
    }
    return this.#enter(wish);
  }

  /** @param {Wish} wish */
  async #enter(wish) {
    const room = wish.room || draw();
    this.#wish = { ...wish, room };
    this.#kinds = [...wish.kinds];
    await this.#try();
  }

  /** Enter by the next kind that the room may be of. */
  async #try() {
    const wish = /** @type {Wish} */ (this.#wish);
    const kind = this.#kinds.shift() ?? wish.kinds[0];
    try {
      const login = wish.userSig ? this.#login(wish) : await guestLogin(wish.user);
      const nick = wish.nick || (wish.user && wish.user !== login.userId ? wish.user : '');
      this.#page.join(
        new URLSearchParams({
          room: wish.room,
          user: login.userId,
          userSig: login.userSig,
          sdkAppId: String(login.sdkAppId || ''),
          privateMapKey: wish.privateMapKey,
          nick,
          role: wish.role,
          kind,
          create: wish.action === 'enterRoom' ? '' : '1',
          info: wish.name,
          title: wish.title,
          logo: wish.logo,
          hide: wish.hidden.join(' '),
        }),
      );
    } catch (error) {
      this.#failed(reasonOf(error), String(error));
      this.#page.refuse(reasonOf(error) === 'no_guests' ? { key: 'exeNeedsTicket' } : wordsOf(error));
    }
  }

  /**
   * The room did not let us in.
   * @param {unknown} error
   * @returns {boolean} whether another way is being tried
   */
  notIn(error) {
    const reason = reasonOf(error);
    const wish = this.#wish;
    const taken = reason === 'name_taken' && wish?.action === '';
    if (wish && taken) {
      // Nobody has said whether it is to be made or entered.
      void this.#enter({ ...wish, action: 'enterRoom' });
      return true;
    }
    if (wish && reason === 'no_such_room' && this.#kinds.length) {
      void this.#try();
      return true;
    }
    this.#failed(reason, /** @type {any} */ (error)?.message ?? String(error));
    return false;
  }

  /** In the room, with the devices that there are. */
  async entered() {
    const wish = this.#wish;
    const room = this.#trtc.getRoom();
    if (!wish || !room) return;
    if (!wish.title) this.#wish = { ...wish, title: room.roomInfo ?? '' };
    const roomID = String(room.roomId ?? room.strRoomId);
    this.#opener.tell('entered', { roomID, userID: room.userId });
    this.#event('roomStatus', { code: 0, msg: '' });
    for (const note of wish.notes.splice(0)) alert(note);
    this.changed();
    if (wish.pushTo && room.role === 'anchor') void this.#pushing.start(wish.pushTo);
    if (wish.record) await this.#page.record();
  }

  /** Who is there has changed. */
  changed() {
    const room = this.#trtc.getRoom();
    if (!room) return;
    const roleOf = (/** @type {string} */ userId, /** @type {string} */ role) =>
      userId === room.creator ? 'creator' : role === 'audience' ? 'audience' : 'pusher';
    const self = { userId: room.userId, nick: this.#wish?.nick ?? '', role: room.role };
    const list = [self, ...room.members].map(({ userId, nick, role }) => ({
      userID: userId, userName: nick || userId, userAvatar: '', role: roleOf(userId, role),
    }));
    const told = JSON.stringify(list);
    if (told === this.#told) return;
    this.#told = told;
    this.#opener.tell('members', { list });
  }

  /** The stay is over. @param {number} code 0: by the person's own wish @param {string} msg */
  over(code, msg) {
    this.#told = '';
    this.#pushing.over();
    this.#event('roomStatus', { code: code || -1, msg });
    this.#opener.tell('closed', { code, msg });
  }

  /** What stands before a call, or after it. */
  show() {
    this.#home.show(this.#wish);
  }

  hide() {
    this.#home.hide();
  }

  reword() {
    this.#home.reword();
  }

  /** Whether leaving ends the room for everybody. */
  #leads() {
    const room = this.#trtc.getRoom();
    return room?.kind === 'live_room' && room.creator === room.userId;
  }

  /** @param {Wish} wish */
  #login = ({ user, userSig, sdkAppId }) => ({ userId: user, userSig, sdkAppId: Number(sdkAppId) });

  /** A wish with nothing in it. */
  #nothing = () => readWish('', '', null, location.host);

  /** @param {string} reason @param {string} msg */
  #failed(reason, msg) {
    this.#opener.tell('failed', { code: CODES[reason] ?? -1, msg });
  }

  /** @param {string} event @param {object} detail */
  #event(event, detail) {
    this.#opener.tell('event', { cmd: { event, ...detail } });
  }

  #listen() {
    const { MESSAGE_RECEIVED, CONNECTION_STATE_CHANGED } = /** @type {any} */ (this.#trtc.constructor).EVENT;
    this.#trtc.on(MESSAGE_RECEIVED, ({ message: { userId, nick, text } }) => {
      const room = this.#trtc.getRoom();
      const message = { roomID: String(room?.roomId ?? room?.strRoomId ?? ''), userID: userId, userName: nick || userId, userAvatar: '', message: text };
      if (text) this.#opener.tell('message', { message });
    });
    this.#trtc.on(CONNECTION_STATE_CHANGED, ({ state }) => this.#event('connection', { state }));
    byId('stopPush').addEventListener('click', () => this.#pushing.stop());
  }
}

/** @type {Record<string, number>} what `fail` of the old library is given, by the reason here */
const CODES = { bad_ticket: -1002, no_guests: -1002, no_such_room: -1003, name_taken: -1004, room_full: -1006, not_permitted: -1007 };

/** A new room's id, of the form that RoomService draws. */
function draw() {
  const digits = [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return `room_${digits.slice(0, 8)}_${digits.slice(8)}`;
}
