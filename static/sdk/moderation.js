// @ts-check
/**
 * Moderating a room, and what its moderators have muted (docs/moderation.md). The server checks the rights and acts;
 * here is known what it has told, so that an application can show it.
 */

import { invalid } from './errors.js';
import { text } from './checks.js';
import { EVENT } from './names.js';

/**
 * @typedef {import('./signaling.js').Message} Message
 * @typedef {{audio: boolean, video: boolean, words: boolean}} Muted
 * @typedef {Muted & {by: string}} Decided `by`: the user who said so last, '' for the operator
 * @typedef {{
 *   moderator: boolean, everybody: Decided, own: Decided, members: Record<string, Decided>,
 * }} ModerationState `own`: what of this member is muted, by itself or with everybody
 * @typedef {{audio?: boolean, video?: boolean, words?: boolean, seconds?: number}} MuteOption true mutes, false unmutes
 */

const MEDIA = /** @type {const} */ (['audio', 'video', 'words']);
/** @type {Decided} */
const NOTHING = Object.freeze({ audio: false, video: false, words: false, by: '' });
const MOST_SECONDS = 0xffffffff;

export class Moderation {
  #request;
  #emit;
  #userId = '';
  #moderator = false;
  #everybody = NOTHING;
  /** @type {Map<string, Decided>} */
  #members = new Map();
  /** @type {Decided} what of this member was muted when the application was told last */
  #told = NOTHING;

  /**
   * @param {(type: string, fields: Message) => Promise<Message>} request
   * @param {(event: string, detail: object) => void} emit
   */
  constructor(request, emit) {
    this.#request = request;
    this.#emit = emit;
  }

  /** @param {Message} entered */
  entered({ userId, moderation = {} }) {
    this.#userId = userId;
    this.#moderator = !!moderation.moderator;
    this.#everybody = decided(moderation.room ?? NOTHING);
    this.#members = new Map((moderation.members ?? []).map((/** @type {Message} */ one) => [one.userId, decided(one)]));
    this.#tell();
  }

  left() {
    this.#members.clear();
    this.#everybody = this.#told = NOTHING;
    this.#moderator = false;
  }

  /** @param {Message} message @returns {boolean} whether it was one of ours */
  message(message) {
    if (message.t !== 'moderation') return false;
    const now = decided(message);
    if (!message.userId) this.#everybody = now;
    else if (MEDIA.some((medium) => now[medium])) this.#members.set(message.userId, now);
    else this.#members.delete(message.userId);
    this.#tell(message.by);
    return true;
  }

  /** @returns {ModerationState} */
  describe() {
    return {
      moderator: this.#moderator,
      everybody: { ...this.#everybody },
      own: this.#own(),
      members: Object.fromEntries([...this.#members].map(([userId, one]) => [userId, { ...one }])),
    };
  }

  /** @returns {Decided} */
  #own() {
    const mine = this.#members.get(this.#userId) ?? NOTHING;
    const all = this.#moderator ? NOTHING : this.#everybody;
    const by = MEDIA.some((medium) => mine[medium]) ? mine.by : all.by;
    return { audio: mine.audio || all.audio, video: mine.video || all.video, words: mine.words || all.words, by };
  }

  /** @param {string} [by] who has changed it, if that is known */
  #tell(by) {
    const own = this.#own();
    if (MEDIA.every((medium) => own[medium] === this.#told[medium])) return;
    this.#told = own;
    this.#emit(EVENT.MODERATED, { ...own, by: by ?? own.by });
  }

  // --- acts

  /** @param {string} userId */
  async kick(userId) {
    text('userId', userId);
    await this.#request('moderate', { act: 'kick', userId });
  }

  /**
   * @param {string} userId
   * @param {{seconds?: number, reason?: string}} option
   */
  async ban(userId, { seconds, reason }) {
    text('userId', userId);
    if (reason !== undefined && typeof reason !== 'string') throw invalid('reason: a text is needed', 5002);
    await this.#request('moderate', { act: 'ban', userId, ...lasting(seconds), ...(reason ? { reason } : {}) });
  }

  /** @param {string} userId */
  async unban(userId) {
    text('userId', userId);
    await this.#request('moderate', { act: 'unban', userId });
  }

  /**
   * @param {string} userId '*' is everybody but moderators
   * @param {MuteOption} option
   */
  async mute(userId, option) {
    text('userId', userId);
    const media = Object.fromEntries(MEDIA.flatMap((medium) => (option[medium] === undefined ? [] : [[medium, !!option[medium]]])));
    if (!Object.keys(media).length) throw invalid('audio, video or words: one is needed', 5001);
    const whom = userId === '*' ? {} : { userId, ...lasting(option.seconds) };
    await this.#request('moderate', { act: 'mute', ...whom, ...media });
  }

  async dismiss() {
    await this.#request('moderate', { act: 'dismiss' });
  }
}

/** @param {Message} message @returns {Decided} */
const decided = ({ audio, video, words, by }) => ({ audio: !!audio, video: !!video, words: !!words, by: by ?? '' });

/** @param {number | undefined} seconds */
function lasting(seconds) {
  if (seconds === undefined) return {};
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MOST_SECONDS) {
    throw invalid(`seconds: a whole number of 1 to ${MOST_SECONDS}`, 5005);
  }
  return { seconds };
}
