// @ts-check
/**
 * Link-mic in a live room: who watches asks its presenter to be seen and heard as well, the presenter says yes or no,
 * and ends it again. The messages are those of the mini programs of 2018, so that either side may be one:
 *
 *     {"cmd":"linkmic","data":{"type":"request","roomID","userID","userName","userAvatar"}}        viewer → presenter
 *     {"cmd":"linkmic","data":{"type":"response","result":"accept" | "reject","message","roomID"}} presenter → viewer
 *     {"cmd":"linkmic","data":{"type":"kickout","roomID"}}                                         presenter → guest
 *
 * Who sent a message is the server's word, whatever the message says. Knows no DOM.
 */

/**
 * @typedef {import('../sdk/trtc.js').default} Library
 * @typedef {{userId: string, name: string, until: number}} Asking
 * @typedef {'none' | 'presenter' | 'watching' | 'asking' | 'linked'} Part what this member is in a live room
 * @typedef {{
 *   changed: () => void, asked: (asking: Asking) => void, linked: (on: boolean) => Promise<void>,
 *   told: (key: string, ...values: string[]) => void,
 * }} Handlers `linked`: this member may send from now on, or no more; `told`: words for the person
 */

/** How long a request is good; the old library waits as long. */
export const WAIT_MS = 30_000;
const MAX_ASKING = 50;

export class LinkMic {
  #trtc;
  #on;
  /** @type {Map<string, Asking>} */
  #asking = new Map();
  /** @type {Part} */
  #part = 'none';
  #timer = 0;

  /** @param {Library} trtc @param {Handlers} on */
  constructor(trtc, on) {
    this.#trtc = trtc;
    this.#on = on;
    const { C2C_MESSAGE } = /** @type {any} */ (trtc.constructor).EVENT;
    trtc.on(C2C_MESSAGE, ({ message }) => this.#received(message));
  }

  get part() {
    return this.#part;
  }

  /** Those who wait for an answer, the longest waiting first. */
  get asking() {
    return [...this.#asking.values()];
  }

  /** In the room, or out of it, or in another role there. */
  entered() {
    const room = this.#trtc.getRoom();
    if (room?.kind !== 'live_room') this.#set('none');
    else if (room.creator === room.userId) this.#set('presenter');
    else if (room.role === 'anchor') this.#set('linked');
    else if (this.#part !== 'asking') this.#set('watching');
    if (this.#part !== 'presenter') this.#asking.clear();
  }

  /** Whoever has gone asks no more. */
  tidy() {
    const room = this.#trtc.getRoom();
    for (const [userId, { until }] of this.#asking) {
      const there = room?.members.find((member) => member.userId === userId);
      if (until < Date.now() || there?.role === 'anchor') this.#asking.delete(userId);
    }
  }

  // --- the viewer

  /** Ask the presenter. @param {string} name */
  async ask(name) {
    const room = this.#trtc.getRoom();
    if (!room || this.#part !== 'watching') return;
    this.#set('asking');
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#answered('linkNoAnswer'), WAIT_MS);
    try {
      await this.#send(room.creator, { type: 'request', roomID: roomOf(room), userID: room.userId, userName: plain(name), userAvatar: '' });
    } catch {
      this.#answered('linkPresenterAway');
    }
  }

  /** Watch only, again: one's own wish. */
  async unlink() {
    if (this.#part === 'asking') return this.#answered('');
    if (this.#part === 'linked') await this.#watchOnly();
  }

  // --- the presenter

  /** @param {string} userId @param {boolean} agree */
  async answer(userId, agree) {
    const room = this.#trtc.getRoom();
    this.#asking.delete(userId);
    this.#on.changed();
    if (!room) return;
    const result = agree ? 'accept' : 'reject';
    await this.#send(userId, { type: 'response', result, message: '', roomID: roomOf(room) });
  }

  /** A guest becomes a viewer again. @param {string} userId */
  async end(userId) {
    const room = this.#trtc.getRoom();
    if (room) await this.#send(userId, { type: 'kickout', roomID: roomOf(room) });
  }

  // --- messages

  /**
   * @param {string} to
   * @param {object} data
   */
  #send(to, data) {
    const text = JSON.stringify({ cmd: 'linkmic', data });
    return this.#trtc.sendGroupMessage([{ MsgType: 'TIMCustomElem', MsgContent: { Data: text, Desc: '', Ext: '' } }], { to });
  }

  /** @param {{userId: string, body: any[], nick: string, time: number}} message */
  #received(message) {
    const room = this.#trtc.getRoom();
    const data = read(message.body);
    if (!room || !data || String(data.roomID) !== roomOf(room)) return;
    if (message.time < room.enteredAt - WAIT_MS) return; // it has waited for this user, its sender has not
    const { userId } = message;
    if (data.type === 'request' && this.#part === 'presenter') {
      this.#asked(userId, String(data.userName || message.nick || userId).slice(0, 64));
    } else if (userId === room.creator && data.type === 'response' && this.#part === 'asking') {
      if (data.result === 'accept') void this.#accepted();
      else this.#answered('linkRejected');
    } else if (userId === room.creator && data.type === 'kickout' && this.#part === 'linked') {
      void this.#watchOnly('linkEnded');
    }
  }

  /** @param {string} userId @param {string} name */
  #asked(userId, name) {
    const known = this.#asking.has(userId);
    if (!known && this.#asking.size >= MAX_ASKING) return;
    const asking = { userId, name, until: Date.now() + WAIT_MS };
    this.#asking.set(userId, asking);
    setTimeout(() => {
      this.tidy();
      this.#on.changed();
    }, WAIT_MS + 100);
    this.#on.changed();
    if (!known) this.#on.asked(asking);
  }

  async #accepted() {
    clearTimeout(this.#timer);
    try {
      await this.#trtc.switchRole('anchor');
    } catch (error) {
      const full = /** @type {any} */ (error)?.reason === 'room_full';
      return this.#answered(full ? 'linkFull' : 'linkFailed', full ? '' : String(/** @type {any} */ (error)?.message ?? error));
    }
    this.#set('linked');
    this.#on.told('linkAccepted');
    await this.#on.linked(true);
  }

  /** @param {string} [why] */
  async #watchOnly(why) {
    await this.#on.linked(false);
    await this.#trtc.switchRole('audience').catch(() => undefined);
    this.#set('watching');
    if (why) this.#on.told(why);
  }

  /** The request is over without a link. @param {string} why words, '' for none @param {string} [value] */
  #answered(why, value = '') {
    clearTimeout(this.#timer);
    if (this.#part !== 'asking') return;
    this.#set('watching');
    if (why) this.#on.told(why, value);
  }

  /** @param {Part} part */
  #set(part) {
    if (part === this.#part) return;
    this.#part = part;
    this.#on.changed();
  }
}

/** @param {{roomId?: number, strRoomId?: string}} room */
const roomOf = ({ roomId, strRoomId }) => String(roomId ?? strRoomId);

/** Old clients cut a message at the first two closing braces. @param {string} name */
const plain = (name) => name.replace(/[{}]/g, '');

/** @param {any[]} body @returns {any} the data of a link-mic message, or null */
function read(body) {
  const text = body.map(({ MsgContent }) => MsgContent?.Data || MsgContent?.Text || '').join('');
  try {
    const value = JSON.parse(text);
    return value?.cmd === 'linkmic' && typeof value.data === 'object' ? value.data : null;
  } catch {
    return null;
  }
}
