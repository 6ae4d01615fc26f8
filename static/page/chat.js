// @ts-check
/**
 * The chat panel: history, messages of all in one order, who joined and left, what is being sent and what failed.
 * Beside the tiles on a wide window, a sheet over them on a phone.
 */

import TRTC from '../sdk/trtc.js';
import { announce, byId, make, write } from './dom.js';
import { linesOf } from './text.js';
import { alert, clearToasts, toast, wordsOf } from './troubles.js';
import { language, say } from '../words.js';

/**
 * @typedef {{seq: number, time: number, userId: string, nick: string, random: number, text: string, own: boolean}} Message
 * @typedef {{time: number, userId: string, name: string, text: string, own: boolean, seq: number}} Said
 * @typedef {{element: HTMLElement, text: string}} Sending
 */

const GROUP_MS = 3 * 60_000;
const PAGE = 50;

export class Chat {
  /** @type {any} the calls for chat */
  #trtc;
  #panel = byId('chat');
  #list = byId('messageList');
  #scroller = byId('messages');
  #text = /** @type {HTMLTextAreaElement} */ (byId('text'));
  /** @type {Set<number>} */
  #known = new Set();
  /** @type {Set<Sending>} */
  #sending = new Set();
  #unread = 0;
  #changed;

  /**
   * @param {TRTC} trtc
   * @param {() => void} changed the panel was opened or closed
   */
  constructor(trtc, changed) {
    this.#trtc = trtc;
    this.#changed = changed;
    const { MESSAGE_RECEIVED, HISTORY_RESET } = /** @type {any} */ (TRTC.EVENT);
    if (MESSAGE_RECEIVED) trtc.on(MESSAGE_RECEIVED, ({ message }) => this.#received(message));
    if (HISTORY_RESET) trtc.on(HISTORY_RESET, () => this.refill());
    byId('chatOpen').addEventListener('click', () => this.toggle());
    byId('chatClose').addEventListener('click', () => this.toggle(false));
    byId('say').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#say();
    });
    this.#text.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#say();
    });
    this.#text.addEventListener('input', () => this.#grow());
    this.#panel.addEventListener('keydown', (event) => event.key === 'Escape' && this.toggle(false));
    byId('older').addEventListener('click', () => this.#older());
  }

  get open() {
    return !this.#panel.hidden;
  }

  /** Whether this library and server have messages at all. */
  get works() {
    return typeof this.#trtc.sendTextMessage === 'function';
  }

  /** @param {boolean} [wanted] */
  toggle(wanted = !this.open) {
    if (wanted === this.open) return;
    this.#panel.hidden = !wanted;
    byId('chatOpen').ariaExpanded = String(wanted);
    if (wanted) {
      this.#count(0);
      clearToasts();
      this.#toEnd();
      (byId('say').hidden ? this.#scroller : this.#text).focus();
    } else {
      byId('chatOpen').focus();
    }
    this.#changed();
  }

  /** Let the visitor write, or say why not. @param {string} why '' if it may */
  permit(why) {
    byId('sayClosed').hidden = !why;
    byId('sayClosed').textContent = why;
    if (byId('say').hidden === !!why) return;
    const focused = document.activeElement === this.#text;
    byId('say').hidden = !!why; // what is half written stays there
    if (focused) this.#scroller.focus();
  }

  /** Entered a room: show what was said before. */
  entered() {
    this.clear();
    this.refill();
  }

  refill() {
    this.#known.clear();
    for (const element of [...this.#list.children]) if (!element.classList.contains('sending')) element.remove();
    for (const message of this.#trtc.getMessages?.() ?? []) this.#put(message);
    this.#mayHaveOlder();
    this.#toEnd();
  }

  clear() {
    this.#known.clear();
    this.#sending.clear();
    this.#list.replaceChildren();
    this.#count(0);
    this.#empty();
  }

  /** A line of the room's own. @param {string} key @param {string} name */
  system(key, name) {
    const line = make('li', 'system');
    const words = make('span');
    write(words, key, name);
    line.append(words);
    this.#insert(line);
    announce(say(key, name));
  }

  /** The language changed: times and names are written anew. */
  reword() {
    for (const time of /** @type {NodeListOf<HTMLTimeElement>} */ (this.#list.querySelectorAll('time'))) {
      time.textContent = clock(Number(time.dataset.time));
    }
    this.#count(this.#unread);
  }

  // --- receiving

  /** @param {Message} message */
  #received(message) {
    if (this.#known.has(message.seq)) return;
    this.#put(message);
    if (message.own || !message.text) return;
    const name = message.nick || message.userId;
    announce(say('said', name, message.text.slice(0, 200)));
    if (this.open) return;
    this.#count(this.#unread + 1);
    toast(say('said', name, message.text.slice(0, 80)));
  }

  /** @param {Message} message @param {boolean} [before] it is older than all that is shown */
  #put({ seq, time, userId, nick, text, own }, before = false) {
    if (this.#known.has(seq)) return;
    this.#known.add(seq);
    if (!text) return; // for programs, not for people
    const line = this.#line({ seq, time, userId, name: own ? say('me') : nick || userId, text, own });
    if (before) this.#list.prepend(line);
    else this.#insert(line);
    this.#group();
    this.#empty();
  }

  /** @param {Said} said */
  #line({ seq, time, userId, name, text, own }) {
    const line = make('li', own ? 'message own' : 'message');
    line.dataset.user = userId;
    line.dataset.time = String(time);
    if (seq) line.dataset.seq = String(seq);
    const head = make('p', 'head');
    const sender = make('b');
    if (own) write(sender, 'me');
    else sender.textContent = name;
    const when = make('time', '', clock(time));
    when.dateTime = new Date(time).toISOString();
    when.dataset.time = String(time);
    head.append(sender, when);
    const words = make('p', 'words');
    words.append(...linesOf(text));
    line.append(head, words);
    return line;
  }

  /** In the room's order, else at the end; what is still being sent stands last. @param {HTMLElement} line */
  #insert(line) {
    const atEnd = this.#scroller.scrollHeight - this.#scroller.scrollTop - this.#scroller.clientHeight < 60;
    const seq = Number(line.dataset.seq ?? Infinity);
    const later = /** @type {HTMLElement[]} */ ([...this.#list.children]).find(
      (other) => other.classList.contains('sending') || Number(other.dataset.seq ?? 0) > seq,
    );
    this.#list.insertBefore(line, later ?? null);
    this.#group();
    this.#empty();
    if (atEnd) this.#toEnd();
  }

  /** Several of one sender within minutes stand together under one name. */
  #group() {
    /** @type {HTMLElement | null} */
    let last = null;
    for (const line of /** @type {HTMLElement[]} */ ([...this.#list.children])) {
      const same =
        last?.dataset.user !== undefined &&
        line.dataset.user === last.dataset.user &&
        Number(line.dataset.time) - Number(last.dataset.time) < GROUP_MS;
      line.classList.toggle('next', same);
      last = line;
    }
  }

  #mayHaveOlder() {
    const first = Math.min(...this.#known);
    byId('older').hidden = !this.#known.size || first <= 1;
  }

  async #older() {
    const place = byId('older');
    place.ariaBusy = 'true';
    const height = this.#scroller.scrollHeight;
    try {
      const { messages, more } = await this.#trtc.getHistory({ before: Math.min(...this.#known), count: PAGE });
      for (const message of [...messages].reverse()) this.#put(message, true);
      place.hidden = !more;
      this.#scroller.scrollTop += this.#scroller.scrollHeight - height;
    } catch (error) {
      alert(wordsOf(error));
    }
    place.removeAttribute('aria-busy');
  }

  // --- sending

  #say() {
    const text = this.#text.value.trim();
    if (!text) return;
    this.#text.value = '';
    this.#grow();
    this.#text.focus();
    void this.#send(text);
  }

  /** @param {string} text */
  async #send(text) {
    const line = this.#line({ seq: 0, time: Date.now(), userId: '', name: '', text, own: true });
    line.classList.add('sending');
    const state = make('p', 'sendingState');
    write(state, 'sending');
    line.append(state);
    const entry = { element: line, text };
    this.#sending.add(entry);
    this.#list.append(line);
    this.#empty();
    this.#toEnd();
    try {
      const sent = await this.#trtc.sendTextMessage(text);
      line.remove();
      if (this.#sending.delete(entry) && sent && typeof sent.seq === 'number') this.#put(sent);
    } catch (error) {
      line.classList.add('failed');
      const { key, values } = sendingWords(error);
      write(state, key, ...(values ?? []));
      state.setAttribute('role', 'alert');
      line.append(this.#way('again', entry), this.#way('edit', entry), this.#way('discard', entry));
      this.#toEnd();
    }
  }

  /** @param {'again' | 'edit' | 'discard'} key @param {Sending} entry */
  #way(key, entry) {
    const way = make('button', 'plain');
    way.type = 'button';
    way.dataset.way = key;
    write(way, key);
    way.addEventListener('click', () => {
      entry.element.remove();
      this.#sending.delete(entry);
      this.#empty();
      if (key === 'again') void this.#send(entry.text);
      if (key === 'edit') {
        this.#text.value = entry.text;
        this.#grow();
      }
      this.#text.focus();
    });
    return way;
  }

  // --- looks

  /** @param {number} unread */
  #count(unread) {
    this.#unread = unread;
    const badge = byId('unread');
    badge.hidden = unread === 0;
    badge.textContent = unread > 99 ? '99+' : String(unread);
    badge.setAttribute('aria-label', say('unread', unread));
  }

  #empty() {
    byId('noMessages').hidden = !!this.#list.querySelector('.message');
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** As high as its text, up to a third of the panel. */
  #grow() {
    this.#text.style.height = 'auto';
    this.#text.style.height = `${Math.min(this.#text.scrollHeight + 2, this.#panel.clientHeight / 3)}px`;
  }
}

/** @param {number} time unix ms */
function clock(time) {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  /** @type {Intl.DateTimeFormatOptions} */
  const form = { hour: '2-digit', minute: '2-digit', ...(today ? {} : { month: 'short', day: 'numeric' }) };
  return new Intl.DateTimeFormat(language(), form).format(date);
}

/** @param {any} error @returns {import('./troubles.js').Words} */
function sendingWords(error) {
  const reason = String(error?.reason ?? '');
  if (['lost', 'timeout', 'unreachable'].includes(reason)) return { key: 'notSentLost' };
  return ['too_large', 'too_many', 'not_permitted', 'muted'].includes(reason)
    ? wordsOf(error)
    : { key: 'notSent', values: [error?.message ?? error] };
}

