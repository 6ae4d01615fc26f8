// @ts-check
/**
 * What went wrong, in words, with a way out. An alert stays until it is answered; one cause is said once.
 */

import { byId, make, write } from './dom.js';

/**
 * @typedef {'camera' | 'microphone' | 'share'} Device
 * @typedef {{key: string, values?: unknown[]}} Words
 * @typedef {{key: string, act: () => void}} WayOut
 */

/** @type {Record<Device, Record<string, string>>} by the name of the browser's error */
const DEVICES = {
  camera: {
    NotFoundError: 'noCamera',
    OverconstrainedError: 'noCamera',
    NotAllowedError: 'deniedCamera',
    SecurityError: 'deniedCamera',
    NotReadableError: 'busyCamera',
    AbortError: 'busyCamera',
  },
  microphone: {
    NotFoundError: 'noMicrophone',
    OverconstrainedError: 'noMicrophone',
    NotAllowedError: 'deniedMicrophone',
    SecurityError: 'deniedMicrophone',
    NotReadableError: 'busyMicrophone',
    AbortError: 'busyMicrophone',
  },
  share: { NotReadableError: 'shareFailed', NotFoundError: 'shareFailed', AbortError: 'shareFailed' },
};

/** @type {Record<string, string>} by the reason of an RtcError or a GuestError; {0} is the server's own message */
const REASONS = {
  insecure_origin: 'insecure',
  bad_ticket: 'badTicket',
  no_guests: 'noGuests',
  bad_name: 'badName',
  room_missing: 'roomMissing',
  no_such_room: 'noSuchRoom',
  room_full: 'roomFull',
  not_permitted: 'notPermitted',
  unreachable: 'unreachable',
  lost: 'unreachable',
  timeout: 'unreachable',
  unavailable: 'overloaded',
  overloaded: 'overloaded',
  shutting_down: 'overloaded',
  media_blocked: 'mediaBlocked',
  muted: 'mutedByModerator',
  too_large: 'tooLarge',
  too_many: 'tooMany',
  no_common_codec: 'noCodec',
  needs_click: 'recordNeedsClick',
  no_sound_output: 'recordNoSound',
  disk_full: 'recordDiskFull',
  disk_slow: 'recordDiskSlow',
  write_failed: 'recordFailed',
  encoder_failed: 'recordFailed',
};

/** @type {Record<string, string>} why the server ended the stay */
const ENDS = {
  kick: 'kick',
  banned: 'banned',
  replaced: 'replaced',
  room_disband: 'roomDisband',
  left: 'endedElsewhere',
  timeout: 'endedByTime',
};

/**
 * @param {any} error
 * @param {Device} [device]
 * @returns {Words}
 */
export function wordsOf(error, device) {
  const { reason = '', message = String(error) } = error ?? {};
  if (device && DEVICES[device][reason]) return { key: DEVICES[device][reason] };
  if (REASONS[reason]) return { key: REASONS[reason], values: [message] };
  return { key: device ? 'deviceFailed' : 'refused', values: [message] };
}

/** @param {string} reason of KICKED_OUT @returns {Words} */
export const wordsOfEnd = (reason) => ({ key: ENDS[reason] ?? 'kick', values: [reason] });

/** @param {any} error */
export const reasonOf = (error) => String(error?.reason ?? '');

/**
 * Say it until it is answered. The last of several with the same words stays.
 * @param {Words} words
 * @param {WayOut[]} [waysOut] buttons; a plain one that only closes it stands last
 */
export function alert(words, waysOut = []) {
  const box = make('div', 'alert');
  box.dataset.key = words.key;
  const text = make('p');
  write(text, words.key, ...(words.values ?? []));
  const ways = make('div', 'ways');
  for (const { key, act } of [...waysOut, { key: 'dismiss', act: () => undefined }]) {
    const way = make('button');
    way.type = 'button';
    way.dataset.way = key;
    write(way, key);
    way.addEventListener('click', () => {
      box.remove();
      act();
    });
    ways.append(way);
  }
  box.append(text, ways);
  for (const other of [...byId('alerts').children]) {
    if (other.firstChild?.textContent === text.textContent) other.remove();
  }
  byId('alerts').append(box);
}

/** @param {string} [key] only those with these words */
export function clearAlerts(key) {
  for (const box of /** @type {HTMLElement[]} */ ([...byId('alerts').children])) {
    if (!key || box.dataset.key === key) box.remove();
  }
}

/**
 * A word in passing, gone by itself; for what can be missed without harm.
 * @param {string} text
 */
export function toast(text) {
  const place = byId('toasts');
  const note = make('p', 'toast', text);
  place.append(note);
  while (place.childElementCount > 3) place.firstElementChild?.remove();
  setTimeout(() => note.remove(), 4000);
}

/** What they said can be read elsewhere now. */
export const clearToasts = () => byId('toasts').replaceChildren();
