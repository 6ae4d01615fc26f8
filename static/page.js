// @ts-check
/**
 * The page, put together: the way in and out, and who hears of what. It knows no protocol; whatever it does goes
 * through the public library (`window.trtc`) and the public room calls.
 *
 * `#room=1001&user=alice` joins at once; with `userSig`, `privateMapKey` and `sdkAppId` by these tickets, else as a
 * guest. `role=audience` only watches, `nick` is the name that others read, `text` makes the room a text room even if
 * it looks like a number. Without `user`: the lobby. `kind` (with `create`, `info`) means a room of RoomService; `title`,
 * `logo` and `hide` (panels: people, chat, share) change the looks. `/exe` comes by parameters of its own (exe/exe.js).
 */

import TRTC from './sdk/trtc.js';
import { Exe } from './exe/exe.js';
import { People } from './exe/people.js';
import { guestTickets, openRoom, userIdOf } from './guest.js';
import { Controls } from './page/call.js';
import { Chat } from './page/chat.js';
import { recall, remember } from './page/choices.js';
import { Debug } from './page/debug.js';
import { OwnDevices } from './page/devices.js';
import { announce, armDialogs, busy, byId, dialog, find, translate, write } from './page/dom.js';
import { Links } from './page/links.js';
import { Lobby } from './page/lobby.js';
import { Moderating } from './page/moderating.js';
import { Pickers } from './page/pickers.js';
import { Quality } from './page/quality.js';
import { Recording } from './page/record.js';
import { Tiles } from './page/tiles.js';
import { alert, clearAlerts, reasonOf, toast, wordsOf, wordsOfEnd } from './page/troubles.js';
import { language, say, speak } from './words.js';

/**
 * @typedef {import('./page/troubles.js').Words} Words
 * @typedef {import('./page/troubles.js').WayOut} WayOut
 * @typedef {{userId: string, nick: string, role: 'anchor' | 'audience'}} Me
 */

const { EVENT } = TRTC;
const trtc = TRTC.create();
Object.assign(window, { trtc, TRTC });

const RETRY_MS = 5000;
const address = Exe.here() ? Exe.takeAddress() : { query: '', fragment: '' };

/** Where this page is or was last: the fragment, tickets included, kept in memory only. */
let place = new URLSearchParams();
/** @type {Me | null} */
let me = null;
let wasLive = false;
/** Counts entries, so that a slow one that was overtaken stops. */
let turn = 0;
let retry = 0;

const devices = new OwnDevices(trtc, {
  changed: () => draw(),
  failed: (device, error) => {
    const again = device === 'camera' ? () => devices.setCamera(true) : () => devices.setMicrophone(true);
    const mayAgain = device !== 'share' && reasonOf(error) !== 'muted';
    alert(wordsOf(error, device), mayAgain ? [{ key: 'tryAgain', act: () => void again() }] : []);
  },
});
const tiles = new Tiles(trtc, (error) => alert(wordsOf(error)));
const chat = new Chat(trtc, () => {
  document.body.classList.toggle('chatting', chat.open);
  if (chat.open) people.toggle(false);
});
const people = new People(trtc, {
  me: () => me,
  linked: async (on) => {
    me = me && { ...me, role: on ? 'anchor' : 'audience' };
    if (!on) await devices.close();
    draw();
    if (on) await startDevices();
  },
  opened: () => chat.toggle(false),
  mayModerate: (userId) => moderating.mayModerate(userId),
  moderate: (userId) => moderating.open(userId),
});
const links = new Links(trtc, () => ({ room: place.get('room') ?? '', text: place.has('text') }));
const moderating = new Moderating(trtc, { devices, tiles, chat }, (userId) => nameOf(userId));
const debug = new Debug(trtc);
const quality = new Quality(trtc, tiles);
const recording = new Recording(trtc, tiles, { room: () => place.get('room') ?? '', changed: () => draw() });
const lobby = new Lobby(devices, {
  join: ({ name, room }) => enterAs(name, room),
  link: (fragment) => (location.hash = fragment),
  microphone: () => trtc.getAudioTrack(),
});
const controls = new Controls(devices, tiles, () => ({ in: !!trtc.getRoom(), sends: me?.role !== 'audience' }));
const pickers = new Pickers(find(byId('devicesDialog'), '.pickers'), devices, (kind, error) => {
  const words = wordsOf(error, kind === 'speaker' ? undefined : kind);
  write(byId('devicesWrong'), words.key, ...(words.values ?? []));
  byId('devicesWrong').hidden = false;
});

const exe = Exe.here()
  ? new Exe(trtc, {
      join: (next) => {
        place = next;
        void join();
      },
      home: () => void goToLobby(),
      leave: () => leave(),
      record: () => recording.start(),
      refuse: (words) => refuse(words),
    })
  : null;

// --- in and out

/** Go where the address says. */
function route() {
  if (exe) return void exe.route(address);
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.get('room') && fragment.get('user')) {
    place = fragment;
    void join();
  } else {
    void goToLobby(fragment.get('room') ?? '');
  }
}

/** @param {string} [room] */
async function goToLobby(room = place.get('room') ?? '') {
  turn++;
  stopRetry();
  if (trtc.getRoom()) await trtc.exitRoom().catch(() => undefined);
  moderating.clear();
  setState('ready');
  entitlePage('title');
  byId('call').hidden = byId('controls').hidden = true;
  clearAlerts('insecure');
  if (exe) exe.show();
  else await lobby.show({ room, name: place.get('nick') || place.get('user') || '' });
}

/**
 * From the lobby's form. Tickets that brought this visitor here before bring the same name back.
 * @param {string} name
 * @param {string} room
 */
function enterAs(name, room) {
  const known = place.get('room') === room && [place.get('user'), place.get('nick')].includes(name);
  const user = userIdOf(name, salt());
  const next = known ? place : new URLSearchParams({ room, user, ...(user === name ? {} : { nick: name }) });
  const fragment = `#${next}`;
  if (location.hash === fragment) route();
  else location.hash = fragment;
}

/** Some letters of this browser's own, for names that would be too short or are not Latin. */
function salt() {
  const known = recall('salt');
  if (known && /^[a-z0-9]{4}$/.test(known)) return known;
  const made = Math.random().toString(36).slice(2, 6).padEnd(4, 'x');
  remember('salt', made);
  return made;
}

function stopRetry() {
  clearTimeout(retry);
  retry = 0;
}

/** @param {string} key @param {...string} values */
function entitlePage(key, ...values) {
  write(byId('title'), key, ...values);
  document.title = say(key, ...values);
  /** @type {HTMLImageElement} */ (find(document, '.brand')).src = place.get('logo') || 'favicon.svg';
  document.body.dataset.hide = place.get('hide') ?? '';
}

async function join() {
  const mine = ++turn;
  stopRetry();
  clearAlerts();
  if (trtc.getRoom()) await trtc.exitRoom().catch(() => undefined);
  moderating.clear();
  const room = place.get('room') ?? '';
  const user = place.get('user') ?? '';
  const kind = /** @type {any} */ (place.get('kind') || undefined);
  setState('connecting');
  if (place.get('title')) entitlePage(place.get('title') ?? '');
  else entitlePage('room', room);
  if (!globalThis.RTCPeerConnection || !globalThis.WebSocket) return refuse({ key: 'unsupported' });
  const role = place.get('role') === 'audience' ? 'audience' : 'anchor';
  const wasInLobby = lobby.shown;
  byId('enter').ariaBusy = 'true';
  try {
    const tickets = place.get('userSig')
      ? {
          userId: user,
          sdkAppId: Number(place.get('sdkAppId') ?? 0),
          userSig: place.get('userSig') ?? '',
          privateMapKey: place.get('privateMapKey') ?? '',
        }
      : await guestTickets(room, user);
    if (mine !== turn) return;
    const number = /^[1-9][0-9]{0,9}$/.test(room) && !place.has('text');
    const nick = place.get('nick') ?? '';
    me = { userId: tickets.userId, nick, role };
    const where = number ? { roomId: Number(room) } : { strRoomId: room };
    if (role === 'audience') await devices.close();
    const live = role === 'audience' || kind === 'live_room'; // many may watch: their coming and going is no news
    const ofKind = kind && { kind, create: !!place.get('create'), roomInfo: place.get('info') ?? '' };
    await trtc.enterRoom({ ...tickets, ...where, ...ofKind, role, nick, scene: live ? 'live' : 'rtc' });
  } catch (error) {
    if (mine === turn) notIn(error, room, user);
    return;
  } finally {
    byId('enter').removeAttribute('aria-busy');
  }
  if (mine !== turn) return void trtc.exitRoom();
  lobby.hide();
  exe?.hide();
  if (kind && !place.get('title')) entitlePage(trtc.getRoom()?.roomInfo || say('room', room));
  byId('call').hidden = byId('controls').hidden = false;
  byId('chatOpen').hidden = !chat.works;
  chat.entered();
  trtc.enableAudioVolumeEvaluation(500);
  draw();
  if (!isSecureContext && role === 'anchor') alert({ key: 'insecure' });
  if (wasInLobby) byId('microphone').focus({ preventScroll: true });
  if (role !== 'audience' && isSecureContext) await startDevices();
  if (mine === turn) await exe?.entered();
}

/** Camera and microphone, as far as they are wanted. */
async function startDevices() {
  devices.screenAsCamera = (trtc.getRoom()?.kind ?? 'page').endsWith('_room');
  await busy([byId('microphone'), byId('camera')], async () => {
    await devices.showIn(tiles.ownView());
    const { wanted, blocked } = devices;
    const silent = wanted.microphone && !devices.on.microphone; // whoever changes rooms muted stays muted
    await Promise.all([
      silent && !blocked.microphone && devices.setMicrophone(true),
      wanted.camera && !blocked.camera && devices.setCamera(true),
    ]);
  });
}

/**
 * @param {unknown} error
 * @param {string} room
 * @param {string} user
 */
function notIn(error, room, user) {
  if (exe?.notIn(error)) return;
  const reason = reasonOf(error);
  const again = { key: 'tryAgain', act: route };
  if (reason === 'bad_name') {
    refuse(wordsOf(error), [], 'ready');
    lobby.focus();
  } else if (reason === 'room_missing') {
    refuse(wordsOf(error), [{ key: 'openRoom', act: () => void openNew(user) }]);
  } else {
    refuse(wordsOf(error), [again]);
    // A server that is starting, or a network that comes back: no need to press anything.
    if (['unreachable', 'lost', 'timeout', 'unavailable', 'overloaded', 'shutting_down'].includes(reason)) {
      retry = setTimeout(route, RETRY_MS);
    }
  }
}

/** @param {string} user */
async function openNew(user) {
  try {
    const room = await openRoom(user, say('roomOf', place.get('nick') || user));
    const next = new URLSearchParams(place);
    next.set('room', room);
    location.hash = String(next);
  } catch (error) {
    notIn(error, '', user);
  }
}

/**
 * Back to the lobby with a word why.
 * @param {Words} words
 * @param {WayOut[]} [waysOut]
 * @param {'closed' | 'ready'} [state]
 */
function refuse(words, waysOut = [], state = 'closed') {
  me = null;
  draw();
  void goToLobby();
  setState(state);
  alert(words, waysOut);
}

/**
 * The visitor's wish: the lobby again, with the room kept; the tickets stay in memory only.
 * @param {boolean} [end] the room, for all
 */
async function leave(end = false) {
  const was = me;
  me = null;
  try {
    if (end) await trtc.dismissRoom();
  } catch (error) {
    me = was;
    return alert(wordsOf(error));
  }
  turn++;
  await recording.stop();
  wasLive = false;
  byId('controls').hidden = true;
  await trtc.exitRoom().catch(() => undefined);
  await devices.close();
  over();
  clearAlerts();
  exe?.over(0, 'left');
  if (!exe) history.pushState(null, '', `#${new URLSearchParams({ room: place.get('room') ?? '' })}`);
  await goToLobby();
  if (!exe) lobby.focus();
}

/** What belongs to one stay. */
function over() {
  byId('hear').hidden = byId('reconnecting').hidden = true;
  for (const id of ['linksDialog', 'devicesDialog', 'recordDialog', 'debugDialog']) dialog(id).close();
  debug.clear();
  quality.clear();
  chat.toggle(false);
  people.toggle(false);
  chat.clear();
  if (document.fullscreenElement) void document.exitFullscreen();
  draw();
}

/**
 * The stay was ended by the server.
 * @param {Words} words
 * @param {WayOut[]} waysOut
 */
async function ended(words, waysOut) {
  wasLive = false;
  await recording.stop();
  me = null;
  await trtc.exitRoom().catch(() => undefined);
  await devices.close();
  over();
  exe?.over(-1, say(words.key, ...(words.values ?? [])));
  refuse(words, waysOut);
}

byId('leave').addEventListener('click', async () => {
  const how = moderating.mayEnd ? await moderating.askHowToLeave() : 'leave';
  if (how && me) await leave(how === 'end');
});
addEventListener('hashchange', route);
// A closed tab is gone at once; a page that comes back from the browser's cache joins again.
addEventListener('pagehide', () => void trtc.exitRoom());
addEventListener('pageshow', (event) => event.persisted && location.reload());
addEventListener('online', () => retry && route());
byId('join').addEventListener('input', stopRetry); // whoever types has other plans

// --- what the library says

trtc.on(EVENT.CONNECTION_STATE_CHANGED, ({ state }) => {
  byId('reconnecting').hidden = !(state === 'CONNECTING' && wasLive);
  if (state === 'CONNECTED') {
    if (wasLive) announce(say('backAgain'));
    wasLive = true;
    clearAlerts('mediaBlocked');
    setState('live');
  } else if (state === 'CONNECTING') {
    setState(wasLive ? 'reconnecting' : 'connecting');
  }
});
trtc.on(EVENT.ROOM_CHANGED, () => draw());
trtc.on(EVENT.REMOTE_VIDEO_AVAILABLE, (which) => me && tiles.picture(which));
trtc.on(EVENT.REMOTE_USER_ENTER, ({ userId, nick }) => came('joined', nick || nameOf(userId)));
trtc.on(EVENT.REMOTE_USER_EXIT, ({ userId }) => came('wentAway', nameOf(userId)));
trtc.on(EVENT.AUTOPLAY_FAILED, () => (byId('hear').hidden = false));
byId('hear').addEventListener('click', async () => (byId('hear').hidden = await trtc.resumeRemoteAudio()));
trtc.on(EVENT.KICKED_OUT, ({ reason, detail = reason }) => {
  if (!me) return; // the visitor has ended the room
  /** @type {Record<string, WayOut[]>} */
  const waysOut = {
    replaced: [{ key: 'takeBack', act: route }],
    kick: [{ key: 'joinAgain', act: route }],
    left: [{ key: 'joinAgain', act: route }],
    timeout: [{ key: 'joinAgain', act: route }],
  };
  void ended(wordsOfEnd(detail), waysOut[detail] ?? []);
});
trtc.on(EVENT.SCREEN_SHARE_STOPPED, () => devices.gone('share'));
trtc.on(EVENT.ERROR, (error) => {
  if (error.code === TRTC.ERROR_CODE.DEVICE_ERROR) {
    const device = error.message.startsWith('camera') ? 'camera' : 'microphone';
    if (device === 'camera' && devices.screenAsCamera && devices.on.share) return void devices.screenGone();
    devices.gone(device);
    const again = device === 'camera' ? () => devices.setCamera(true) : () => devices.setMicrophone(true);
    // The library has tried the other devices already.
    alert({ key: device === 'camera' ? 'goneCamera' : 'goneMicrophone' }, [{ key: 'tryAgain', act: () => void again() }]);
  } else if (me && !trtc.getRoom()) {
    const refused = error.code === TRTC.ERROR_CODE.SERVER_ERROR;
    void ended(refused ? wordsOf(error) : { key: 'gone' }, [{ key: 'joinAgain', act: route }]).then(() => {
      if (!refused) retry = setTimeout(route, RETRY_MS);
    });
  } else {
    alert(wordsOf(error));
  }
});
trtc.on(EVENT.NOTICE, ({ message }) => alert({ key: message }));
trtc.on(EVENT.AUDIO_VOLUME, ({ result }) => tiles.speaking(result));
trtc.on(EVENT.VIDEO_PLAY_STATE_CHANGED, ({ userId, streamType, state, reason }) => {
  if (reason === 'network' || state === 'PLAYING') tiles.slow(userId, streamType, state === 'PAUSED');
});

/** @type {Map<string, string>} names of who was here, since whoever leaves is in no list any more */
const names = new Map();

/** @param {string} userId */
const nameOf = (userId) => names.get(userId) ?? userId;

/** @param {string} key @param {string} name */
function came(key, name) {
  if (!wasLive || !me) return; // whoever was there before does not join
  chat.system(key, name);
  toast(say(key, name));
}

// --- drawing

/** @param {'ready' | 'connecting' | 'live' | 'reconnecting' | 'closed'} state */
function setState(state) {
  document.body.dataset.state = state;
  write(byId('state'), state);
}

function draw() {
  const room = trtc.getRoom();
  byId('dev').hidden = !room?.dev;
  for (const { userId, nick } of room?.members ?? []) names.set(userId, nick || userId);
  tiles.draw(me, { camera: devices.pictured, micLive: devices.micLive });
  people.draw();
  exe?.changed();
  controls.draw();
  moderating.draw();
  recording.draw();
  lobby.draw();
  if (dialog('linksDialog').open) links.draw();
}

for (const id of ['devices', 'lobbyDevices']) {
  byId(id).addEventListener('click', () => {
    byId('devicesWrong').hidden = true;
    void pickers.fill();
    dialog('devicesDialog').showModal();
  });
}
byId('language').addEventListener('click', () => {
  speak(language() === 'en' ? 'zh-CN' : 'en');
  reword();
});

/** Say everything in the language of now. */
function reword() {
  document.documentElement.lang = language();
  const other = language() === 'en' ? { lang: 'zh-CN', name: '中文' } : { lang: 'en', name: 'English' };
  byId('language').lang = other.lang;
  byId('language').textContent = other.name;
  translate(document);
  chat.reword();
  links.reword();
  lobby.reword();
  exe?.reword();
  draw();
  document.title = byId('title').textContent ?? '';
}

byId('old').remove();
armDialogs();
if (!isSecureContext) byId('devices').hidden = true;
setState('ready');
reword();
route();
