// @ts-check
/**
 * Moderating on the page. Whoever may moderate finds a menu on the others' tiles, one for everybody, and a way to end
 * the room for all; whoever is muted reads what is off and by whom, and has microphone, camera and chat closed.
 */

import TRTC from '../sdk/trtc.js';
import { announce, busy, byId, dialog, find, write } from './dom.js';
import { alert, toast, wordsOf } from './troubles.js';
import { say } from '../words.js';

/**
 * @typedef {import('../sdk/trtc.js').default} Library
 * @typedef {import('./devices.js').OwnDevices} OwnDevices
 * @typedef {import('./tiles.js').Tiles} Tiles
 * @typedef {import('./chat.js').Chat} Chat
 * @typedef {'audio' | 'video' | 'words'} Medium
 * @typedef {{devices: OwnDevices, tiles: Tiles, chat: Chat}} Parts
 */

const MEDIA = /** @type {const} */ (['audio', 'video', 'words']);
/** Which buttons are locked while what is muted. */
const BUTTONS = /** @type {const} */ ([['microphone', 'audio'], ['camera', 'video'], ['share', 'video']]);
const EVERYBODY = '*';
const NOTHING = { audio: false, video: false, words: false, by: '' };

export class Moderating {
  #trtc;
  #devices;
  #chat;
  #tiles;
  /** @type {(userId: string) => string} */
  #nameOf;
  /** Whose menu is open. */
  #userId = '';
  /** What of this visitor was muted when it was last looked at. */
  #own = NOTHING;

  /**
   * @param {Library} trtc
   * @param {Parts} parts
   * @param {(userId: string) => string} nameOf
   */
  constructor(trtc, { devices, tiles, chat }, nameOf) {
    this.#trtc = trtc;
    this.#devices = devices;
    this.#tiles = tiles;
    this.#chat = chat;
    this.#nameOf = nameOf;
    tiles.armMenus((userId) => this.open(userId));
    trtc.on(TRTC.EVENT.MODERATED, (own) => void this.#moderated(own));
    byId('everyone').addEventListener('click', () => this.open(EVERYBODY));
    for (const medium of MEDIA) {
      this.#press(`${medium}Member`, () => this.#toggle(this.#userId, medium));
      this.#press(`${medium}Everyone`, () => this.#toggle(EVERYBODY, medium));
    }
    this.#press('remove', () => this.#remove(this.#userId));
    this.#press('ban', () => this.#ban(this.#userId));
  }

  /** Whether this visitor may moderate, and what is muted. */
  get state() {
    return this.#trtc.getRoom()?.moderation ?? { moderator: false, everybody: NOTHING, own: NOTHING, members: {} };
  }

  /** Whether this visitor presents a broadcast, which ends with its stay, also for viewers that no list shows. */
  get #leads() {
    const room = this.#trtc.getRoom();
    return room?.kind === 'live_room' && room.creator === room.userId;
  }

  /** Whether leaving is a question: the others can be sent home too, or will be. */
  get mayEnd() {
    const room = this.#trtc.getRoom();
    return !!room && (this.#leads || (this.state.moderator && room.members.length > 0));
  }

  /** Whether a member has a menu. @param {string} userId */
  mayModerate(userId) {
    const room = this.#trtc.getRoom();
    return this.state.moderator && userId !== room?.creator && userId !== room?.userId;
  }

  draw() {
    const { moderator, everybody, own, members } = this.state;
    byId('everyone').hidden = !moderator;
    write(find(byId('leave'), '.word'), this.#leads ? 'end' : 'leave');
    if (!moderator) this.#close();
    this.#tiles.moderation(members, (userId) => this.mayModerate(userId));
    this.#draw('Everyone', everybody);
    if (dialog('memberDialog').open) {
      const here = this.#trtc.getRoom()?.members.some(({ userId }) => userId === this.#userId);
      if (!here) dialog('memberDialog').close();
      write(byId('memberTitle'), 'moderate', this.#nameOf(this.#userId));
      this.#draw('Member', members[this.#userId] ?? NOTHING);
    }
    this.#drawOwn(own);
  }

  /** The stay is over. */
  clear() {
    this.#own = NOTHING;
    this.#devices.blocked = { microphone: false, camera: false, share: false };
    this.#close();
    dialog('leaveDialog').close();
    this.draw();
  }

  /**
   * Leave, or end the room for all, as the visitor chooses.
   * @returns {Promise<'leave' | 'end' | ''>} '' if it was a slip
   */
  async askHowToLeave() {
    const asked = dialog('leaveDialog');
    const leads = this.#leads;
    write(byId('leaveTitle'), leads ? 'endTitle' : 'leaveTitle');
    find(asked, '[value=leave]').hidden = leads;
    asked.returnValue = '';
    asked.showModal();
    await new Promise((resolve) => asked.addEventListener('close', resolve, { once: true }));
    return /** @type {'leave' | 'end' | ''} */ (asked.returnValue);
  }

  // --- the moderator's side

  /** Show what can be done about a member. @param {string} userId */
  open(userId) {
    this.#userId = userId;
    dialog(userId === EVERYBODY ? 'everyoneDialog' : 'memberDialog').showModal();
    this.draw();
  }

  #close() {
    dialog('memberDialog').close();
    dialog('everyoneDialog').close();
  }

  /** @param {'Member' | 'Everyone'} whose @param {import('../sdk/moderation.js').Muted} muted */
  #draw(whose, muted) {
    for (const medium of MEDIA) {
      const button = byId(medium + whose);
      button.classList.toggle('cut', muted[medium]);
      write(find(button, '.word'), muted[medium] ? `allow_${medium}` : `stop_${medium}`);
    }
  }

  /** @param {string} userId @param {Medium} medium */
  async #toggle(userId, medium) {
    const { everybody, members } = this.state;
    const muted = userId === EVERYBODY ? everybody : (members[userId] ?? NOTHING);
    await this.#trtc.muteUser(userId, { [medium]: !muted[medium] });
  }

  /** @param {string} userId */
  async #remove(userId) {
    this.#close();
    await this.#trtc.kickUser(userId);
  }

  /** @param {string} userId */
  async #ban(userId) {
    this.#close();
    await this.#trtc.banUser(userId);
    const undo = () => void this.#trtc.unbanUser(userId).catch((error) => alert(wordsOf(error)));
    alert({ key: 'bannedOne', values: [this.#nameOf(userId)] }, [{ key: 'unban', act: undo }]);
  }

  /** @param {string} id @param {() => Promise<void>} work */
  #press(id, work) {
    byId(id).addEventListener('click', () => busy([byId(id)], () => work().catch((error) => {
      this.#close(); // the words would be behind it
      alert(wordsOf(error));
    })));
  }

  // --- the muted one's side

  /**
   * What is muted is closed here, and stays closed when it is given back: nobody is heard or seen again without
   * having chosen so.
   * @param {typeof NOTHING} own
   */
  async #moderated(own) {
    const before = this.#own;
    this.#own = { ...own };
    this.#devices.blocked = { microphone: own.audio, camera: own.video, share: own.video };
    this.draw();
    for (const medium of MEDIA) {
      if (own[medium] === before[medium] || !this.#concerns(medium)) continue;
      if (own[medium]) announce(this.#why(medium));
      else this.#givenBack(medium);
    }
    if (own.audio && this.#devices.micLive) await this.#devices.setMicrophone(false);
    if (own.video) await Promise.all([this.#devices.setCamera(false), this.#devices.on.share && this.#devices.setShare(false)]);
  }

  /** @param {Medium} medium */
  #givenBack(medium) {
    announce(say(`back_${medium}`));
    toast(say(`back_${medium}`));
  }

  /** @param {Medium} medium @returns {boolean} audience has nothing to be muted of, an old server no chat */
  #concerns(medium) {
    return medium === 'words' ? this.#chat.works : this.#trtc.getRoom()?.role !== 'audience';
  }

  /** @param {Medium} medium @returns {string} a sentence */
  #why(medium) {
    const { by } = this.#own;
    return say(`off_${medium}`, by ? this.#nameOf(by) : say('operator'));
  }

  /** @param {typeof NOTHING} own */
  #drawOwn(own) {
    const off = MEDIA.filter((medium) => own[medium] && this.#concerns(medium));
    const text = off.map((medium) => this.#why(medium)).join(' ');
    byId('moderated').hidden = !text;
    if (byId('moderated').textContent !== text) byId('moderated').textContent = text;
    this.#chat.permit(own.words ? this.#why('words') : '');
    for (const [id, medium] of BUTTONS) {
      byId(id).classList.toggle('locked', own[medium]);
      if (!own[medium]) continue;
      write(find(byId(id), '.word'), 'locked');
      byId(id).title = this.#why(medium);
      byId(id).setAttribute('aria-label', this.#why(medium));
    }
  }
}
