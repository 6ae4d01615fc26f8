// @ts-check
/**
 * What `/exe` was opened with, in any of the forms that there were: single parameters in query or fragment, in both
 * spellings; `params=<json>` with `userdata`, `roomdata` and `custom` as startEXE takes them; `json=<json>`, flat and
 * with its texts encoded once more, as EXEStarter.js handed them to the program. Pure.
 *
 * Nothing here is trusted: it comes from whoever made the link. Unknown names are ignored.
 */

/**
 * @typedef {'double_room' | 'multi_room' | 'live_room'} Kind
 * @typedef {{key: string, values?: unknown[]}} Words what the person should be told
 * @typedef {{
 *   type: 'RTCRoom' | 'LiveRoom', kinds: Kind[], action: 'createRoom' | 'enterRoom' | '', template: string,
 *   room: string, name: string, title: string, logo: string, user: string, nick: string, userSig: string,
 *   privateMapKey: string, sdkAppId: string, role: 'anchor' | 'audience', hidden: string[],
 *   record: boolean, pushTo: string, notes: Words[], wrong: Words[],
 * }} Wish `kinds`: the room's, then what else it may be; `hidden`: panels that are not wanted; `record`: into a file
 *   here; `pushTo`: where the own stream is pushed on to; `wrong`: why nobody can be let in with this
 */

const USER = /^[A-Za-z0-9_-]{1,32}$/;
const ROOM = /^[\x20-\x7e]{1,64}$/;
const MAX_TEXT = 2048;
const MAX_NAME = 128;
const MAX_INFO = 1024;
/** Kept out of an address that is shown again: tickets, and addresses that carry some. */
const SECRET = new Set(['usersig', 'privatemapkey', 'cloudrecordurl', 'recordurl', 'params', 'json']);

/**
 * @param {string} query `location.search`
 * @param {string} fragment `location.hash`
 * @param {object | null} object what another window has handed over, of the form of `params`
 * @param {string} host of this server, `location.host`
 * @returns {Wish}
 */
export function readWish(query, fragment, object, host) {
  const given = object ? flat(object) : { ...fromText(query), ...fromText(fragment) };
  const text = (/** @type {string[]} */ ...names) => names.map((name) => given[name] ?? '').find(Boolean) ?? '';
  /** @type {Words[]} */
  const notes = [];
  /** @type {Words[]} */
  const wrong = [];

  const type = /^live/i.test(text('type')) ? 'LiveRoom' : 'RTCRoom';
  const template = text('template').toLowerCase() || '1v1';
  const action = ({ createroom: 'createRoom', enterroom: 'enterRoom' }[text('roomaction', 'action').toLowerCase()] ?? '');
  const live = type === 'LiveRoom';
  const enters = live && action === 'enterRoom';
  if (template === '1v4') notes.push({ key: 'exeFour' });

  const user = text('userid');
  const room = text('roomid');
  if (user && !USER.test(user)) wrong.push({ key: 'exeBadUser', values: [user.slice(0, 40)] });
  if (room && !ROOM.test(room)) wrong.push({ key: 'exeBadRoom', values: [room.slice(0, 70)] });
  if (!room && action === 'enterRoom') wrong.push({ key: 'exeNoRoom' });

  const domain = hostOf(text('serverdomain'));
  if (domain && domain !== host) notes.push({ key: 'exeForeign', values: [domain, host] });
  const screenRecord = /^[0-3]$/.test(text('screenrecord')) ? Number(text('screenrecord')) : 0;
  const pushTo = text('cloudrecordurl', 'recordurl');
  if (screenRecord & 1 && !pushTo) notes.push({ key: 'exeNoTarget' });
  if (yes(text('mixrecord')) || yes(text('record'))) notes.push({ key: 'exeNoMix' });

  const panels = { people: 'userlist', chat: 'imlist', share: 'screenshare' };
  return {
    type,
    kinds: live ? ['live_room'] : template === '1v1' ? ['double_room', 'multi_room'] : ['multi_room', 'double_room'],
    action: /** @type {Wish['action']} */ (action),
    template,
    room,
    name: (text('roomname', 'roominfo') || text('roomtitle', 'title')).slice(0, MAX_INFO),
    title: text('roomtitle', 'title', 'roomname', 'roominfo').slice(0, MAX_NAME),
    logo: logoOf(text('roomlogo', 'logo'), host),
    user,
    nick: text('username').slice(0, MAX_NAME),
    userSig: text('usersig'),
    privateMapKey: text('privatemapkey'),
    sdkAppId: /^[1-9][0-9]{0,9}$/.test(text('sdkappid')) ? text('sdkappid') : '',
    role: enters && !/^(anchor|guest|pusher)$/.test(text('role')) ? 'audience' : 'anchor',
    hidden: Object.entries(panels).filter(([, name]) => no(text(name))).map(([panel]) => panel),
    record: !!(screenRecord & 2),
    pushTo: screenRecord & 1 && pushTo ? withRecord(pushTo) : '',
    notes,
    wrong,
  };
}

/** Whether there is anything to go by at all. @param {string} query @param {string} fragment */
export const isEmpty = (query, fragment) => !Object.keys({ ...fromText(query), ...fromText(fragment) }).length;

/**
 * What the address may show of it from now on: no tickets, nothing in the query.
 * @param {string} query
 * @param {string} fragment
 */
export function shownAddress(query, fragment) {
  if (!query) return fragment;
  const all = [...new URLSearchParams(query), ...new URLSearchParams(fragment.replace(/^#/, ''))];
  const left = new URLSearchParams(all.filter(([name]) => !SECRET.has(name.toLowerCase())));
  return String(left) ? `#${left}` : '';
}

/** @param {string} text of a query or a fragment @returns {Record<string, string>} by names in small letters */
function fromText(text) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const [name, value] of new URLSearchParams(text.replace(/^[?#]/, ''))) {
    const key = name.toLowerCase();
    if (key === 'params') Object.assign(found, flat(parsed(value)));
    else if (key === 'json') Object.assign(found, decoded(flat(parsed(value))));
    else if (value) found[key] = value.slice(0, MAX_TEXT * 4);
  }
  return found;
}

/** @param {string} text @returns {unknown} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * @param {unknown} value an object, perhaps with objects in it
 * @returns {Record<string, string>} its texts, numbers and truths by names in small letters
 */
function flat(value) {
  /** @type {Record<string, string>} */
  const found = {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return found;
  for (const [name, part] of Object.entries(value)) {
    if (typeof part === 'object') Object.assign(found, flatOnce(part));
    else if (['string', 'number', 'boolean'].includes(typeof part)) found[name.toLowerCase()] = String(part).slice(0, MAX_TEXT * 4);
  }
  return found;
}

/** @param {unknown} value */
const flatOnce = (value) =>
  Object.fromEntries(
    Object.entries(/** @type {object} */ (value ?? {}))
      .filter(([, part]) => ['string', 'number', 'boolean'].includes(typeof part))
      .map(([name, part]) => [name.toLowerCase(), String(part).slice(0, MAX_TEXT * 4)]),
  );

/** @param {Record<string, string>} found */
const decoded = (found) => Object.fromEntries(Object.entries(found).map(([name, value]) => [name, once(value)]));

/** @param {string} value */
function once(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** @param {string} text */
const yes = (text) => /^(true|1)$/i.test(text);
/** @param {string} text */
const no = (text) => /^(false|0)$/i.test(text);

/** @param {string} domain an address, or only a name @returns {string} its host, '' if it names none */
function hostOf(domain) {
  try {
    return domain ? new URL(/^https?:\/\//i.test(domain) ? domain : `https://${domain.replace(/^\/+/, '')}`).host : '';
  } catch {
    return '';
  }
}

/** @param {string} logo @param {string} host @returns {string} an address that may be shown as a picture, or '' */
function logoOf(logo, host) {
  try {
    const url = new URL(logo, `https://${host}/`);
    return logo && url.protocol === 'https:' ? (url.host === host ? url.pathname + url.search : url.href) : '';
  } catch {
    return '';
  }
}

/** As the old program asked servers to record what it pushed to them, unless the address says something of it. @param {string} url */
function withRecord(url) {
  if (url.includes('record')) return url;
  return `${url}${url.includes('?') ? '&' : '?'}record=mp4&record_interval=7200`;
}
