// @ts-check
/**
 * Addresses to hand on: the invitation, this member's push URL, and the play URLs of each stream, to copy or as a code
 * that a phone can scan. The code is drawn by the server from a POST, so that no URL stands in an address or a log.
 */

import { byId, copyOf, dialog, find, make, write } from './dom.js';
import { say } from '../words.js';

/**
 * @typedef {import('../sdk/trtc.js').default} Library
 * @typedef {{room: string, text: boolean}} Place
 */

const KINDS = /** @type {const} */ (['push', 'rtc', 'rtmp', 'flv']);

export class Links {
  #trtc;
  #body = byId('linksBody');
  #known = '';
  /** @type {() => Place} */
  #place;

  /** @param {Library} trtc @param {() => Place} place */
  constructor(trtc, place) {
    this.#trtc = trtc;
    this.#place = place;
    byId('links').addEventListener('click', () => this.show());
    byId('invite').addEventListener('click', () => this.show());
  }

  show() {
    this.#known = '';
    this.draw();
    dialog('linksDialog').showModal();
  }

  /** Something in the room has changed: what is listed changes only if the addresses did. */
  draw() {
    const room = this.#trtc.getRoom();
    if (!room) return dialog('linksDialog').close();
    const groups = [
      { user: room.userId, name: say('you', room.userId), urls: room.urls ?? {} },
      ...room.streams.map((info) => {
        const nick = room.members.find((member) => member.userId === info.userId)?.nick || info.userId;
        return { user: info.userId, name: info.stream === 'aux' ? say('screenOf', nick) : nick, urls: info.urls };
      }),
    ];
    const known = JSON.stringify(groups);
    if (known === this.#known) return;
    this.#known = known;
    const invitation = make('section');
    invitation.append(make('h3', '', say('inviteTitle')), linkRow('invitation', invitationTo(this.#place())), make('p', 'hint', say(inviteHint())));
    const sections = groups.map(({ user, name, urls }) => {
      const section = make('section');
      section.dataset.of = user;
      section.append(make('h3', '', name));
      for (const kind of KINDS) if (urls[kind]) section.append(linkRow(kind, urls[kind]));
      return section;
    });
    this.#body.replaceChildren(invitation, ...sections.filter((section) => section.childElementCount > 1));
  }

  /** In another language. */
  reword() {
    if (dialog('linksDialog').open) {
      this.#known = '';
      this.draw();
    }
  }
}

/** @param {Place} place @returns {string} */
export function invitationTo({ room, text }) {
  const fragment = new URLSearchParams({ room });
  if (text) fragment.set('text', '1');
  return `${location.origin}${location.pathname}#${fragment}`;
}

function inviteHint() {
  const local = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
  return local ? 'inviteLocal' : 'inviteHint';
}

/**
 * @param {string} kind
 * @param {string} url
 */
function linkRow(kind, url) {
  const row = find(copyOf('linkRow'), '.link');
  row.dataset.kind = kind;
  const title = `link_${kind}`;
  write(find(row, '.what'), title);
  const field = /** @type {HTMLInputElement} */ (find(row, 'input'));
  field.value = url;
  field.addEventListener('focus', () => field.select());
  const copy = find(row, '.copy');
  copy.dataset.url = kind;
  const wrong = find(row, '.wrong');
  copy.addEventListener('click', async () => {
    wrong.hidden = await copied(url, copy);
    if (wrong.hidden) return;
    write(wrong, 'copyByHand');
    field.focus();
  });
  const code = find(row, '.qr');
  const image = /** @type {HTMLImageElement} */ (find(row, '.code'));
  code.addEventListener('click', async () => {
    if (!image.hidden) {
      image.hidden = true;
      code.ariaExpanded = 'false';
      return;
    }
    code.ariaBusy = 'true';
    try {
      const drawn = await drawCode(url);
      const address = URL.createObjectURL(drawn);
      image.onload = image.onerror = () => URL.revokeObjectURL(address);
      image.src = address;
      image.alt = say('qrOf', say(title));
      image.hidden = false;
      code.ariaExpanded = 'true';
      wrong.hidden = true;
      image.scrollIntoView({ block: 'nearest' });
    } catch (error) {
      write(wrong, 'qrFailed', error instanceof Error ? error.message : error);
      wrong.hidden = false;
    }
    code.removeAttribute('aria-busy');
  });
  return row;
}

/**
 * @param {string} text
 * @param {HTMLElement} by the button, which says that it is done
 * @returns {Promise<boolean>} false: the browser refused
 */
export async function copied(text, by) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return false; // no permission, or no secure origin
  }
  const key = by.dataset.text ?? 'copy';
  if (key === 'copied') return true;
  write(by, 'copied');
  setTimeout(() => write(by, key), 1500);
  return true;
}

/** @param {string} text @returns {Promise<Blob>} an SVG picture */
async function drawCode(text) {
  const response = await fetch(new URL('/qr', import.meta.url), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ text }),
    signal: AbortSignal.timeout(10_000),
  });
  if (response.ok) return response.blob();
  const answer = await response.json().catch(() => ({}));
  throw new Error(answer.message ?? response.statusText);
}
