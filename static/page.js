// @ts-check
/**
 * The page: owns the DOM, knows no protocol. Whatever it does it does through the public library (`window.trtc`).
 *
 * `#room=1001&user=alice` joins; with `userSig`, `privateMapKey` and `sdkAppId` by these tickets, else as a guest of a
 * development server. `role=audience` only watches, `nick` is the name that others read.
 */

import TRTC from './sdk/trtc.js';
import { guestTickets } from './guest.js';
import { language, say } from './words.js';

const { EVENT } = TRTC;
const trtc = TRTC.create();
Object.assign(window, { trtc, TRTC });

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
const tiles = byId('tiles');

/** @type {Map<string, HTMLElement>} by user and stream type */
const shown = new Map();
/** @type {{userId: string, roomId?: number, strRoomId?: string, role: 'anchor' | 'audience'} | null} */
let me = null;
let wasLive = false;
const on = { microphone: false, camera: false, share: false };

// --- joining and leaving

function begin() {
  const place = new URLSearchParams(location.hash.slice(1));
  const room = place.get('room') ?? '';
  const user = place.get('user') ?? '';
  if (!room || !user) return ask(room || '1001', user);
  byId('join').hidden = true;
  void join(place, room, user);
}

/**
 * @param {string} room
 * @param {string} user
 */
function ask(room, user) {
  byId('join').hidden = false;
  byId('join').elements.room.value = room;
  byId('join').elements.user.value = user;
  setState('ready');
}

/**
 * @param {URLSearchParams} place
 * @param {string} room
 * @param {string} user
 */
async function join(place, room, user) {
  clearAlerts();
  setState('connecting');
  byId('title').textContent = document.title = say('room', room);
  const role = place.get('role') === 'audience' ? 'audience' : 'anchor';
  if (!globalThis.RTCPeerConnection) return refuse(say('unsupported'));
  if (!isSecureContext) alert('insecure');
  try {
    const tickets = place.get('userSig')
      ? {
          userId: user,
          sdkAppId: Number(place.get('sdkAppId') ?? 0),
          userSig: place.get('userSig') ?? '',
          privateMapKey: place.get('privateMapKey') ?? '',
        }
      : await guestTickets(room, user);
    const number = /^[1-9][0-9]{0,9}$/.test(room) && !place.has('text');
    me = { ...tickets, role, ...(number ? { roomId: Number(room) } : { strRoomId: room }) };
    await trtc.enterRoom({ ...me, nick: place.get('nick') ?? '', scene: role === 'audience' ? 'live' : 'rtc' });
  } catch (error) {
    if (/** @type {any} */ (error)?.reason !== 'bad_name') return refuse(words(error));
    ask(room, user);
    return alert('badName');
  }
  byId('controls').hidden = false;
  trtc.enableAudioVolumeEvaluation(500);
  if (role === 'anchor' && isSecureContext) await Promise.all([switchMicrophone(true), switchCamera(true)]);
}

/** @param {string} text */
function refuse(text) {
  setState('closed');
  alert(text, { text: say('joinAgain'), act: begin });
}

/** @param {string} [text] why, if it was not the user's wish */
async function leave(text) {
  await trtc.exitRoom().catch(() => undefined);
  await Promise.all([stop('camera'), stop('microphone'), stop('share')]);
  byId('controls').hidden = byId('hear').hidden = true;
  me = null;
  draw();
  setState('closed');
  alert(text ?? say('closed'), { text: say('joinAgain'), act: begin });
}

byId('join').addEventListener('submit', (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const { room, user } = byId('join').elements;
  location.hash = new URLSearchParams({ room: room.value.trim(), user: user.value.trim() }).toString();
});
addEventListener('hashchange', () => location.reload());
// A closed tab is gone at once; a page that comes back from the browser's cache joins again.
addEventListener('pagehide', () => void trtc.exitRoom());
addEventListener('pageshow', (event) => event.persisted && location.reload());
byId('leave').addEventListener('click', () => leave());

// --- own devices

const START = {
  microphone: () => trtc.startLocalAudio(),
  camera: () =>
    trtc.startLocalVideo({
      view: /** @type {HTMLElement} */ (tile(me?.userId ?? '', 'main').querySelector('.view')),
      option: { profile: { width: 640, height: 480, frameRate: 24, bitrate: 1000 }, useFrontCamera: true },
    }),
  share: () => trtc.startScreenShare({ option: { systemAudio: true } }),
};
const STOP = {
  microphone: () => trtc.stopLocalAudio(),
  camera: () => trtc.stopLocalVideo(),
  share: () => trtc.stopScreenShare(),
};
/** @typedef {keyof typeof on} Device */

/** @param {Device} device */
async function start(device) {
  byId(device).disabled = true;
  try {
    await START[device]();
    on[device] = true;
  } catch (error) {
    const cancelled = device === 'share' && /** @type {any} */ (error)?.reason === 'NotAllowedError';
    if (!cancelled) alert(words(error, device));
  }
  byId(device).disabled = false;
  draw();
}

/** @param {Device} device */
async function stop(device) {
  on[device] = false;
  await STOP[device]().catch(() => undefined);
  draw();
}

let muted = false;

/** @param {boolean} wanted */
async function switchMicrophone(wanted) {
  if (!on.microphone) {
    muted = false;
    return start('microphone');
  }
  muted = !wanted;
  await trtc.updateLocalAudio({ mute: muted }).catch((error) => alert(words(error)));
  draw();
}

/** @param {boolean} wanted */
const switchCamera = (wanted) => (wanted ? start('camera') : stop('camera'));

byId('microphone').addEventListener('click', () => switchMicrophone(!on.microphone || muted));
byId('camera').addEventListener('click', () => switchCamera(!on.camera));
byId('share').addEventListener('click', () => (on.share ? stop('share') : start('share')));

// --- what the library says

trtc.on(EVENT.CONNECTION_STATE_CHANGED, ({ state }) => {
  if (state === 'CONNECTED') {
    wasLive = true;
    setState('live');
  } else if (state === 'CONNECTING') {
    setState(wasLive ? 'reconnecting' : 'connecting');
  } else if (wasLive) {
    wasLive = false;
    setState('closed');
  }
});
trtc.on(EVENT.ROOM_CHANGED, draw);
trtc.on(EVENT.REMOTE_VIDEO_AVAILABLE, ({ userId, streamType }) => {
  const view = /** @type {HTMLElement} */ (tile(userId, streamType).querySelector('.view'));
  if (view.childElementCount) return; // still attached from before
  trtc.startRemoteVideo({ userId, streamType, view }).catch((error) => alert(words(error)));
});
trtc.on(EVENT.AUTOPLAY_FAILED, () => (byId('hear').hidden = false));
byId('hear').addEventListener('click', async () => (byId('hear').hidden = await trtc.resumeRemoteAudio()));
trtc.on(EVENT.KICKED_OUT, ({ detail }) => leave(say(detail)));
trtc.on(EVENT.SCREEN_SHARE_STOPPED, () => {
  on.share = false;
  draw();
});
trtc.on(EVENT.ERROR, (error) => {
  if (error.code === TRTC.ERROR_CODE.DEVICE_ERROR) {
    const device = /** @type {Device} */ (error.message.startsWith('camera') ? 'camera' : 'microphone');
    on[device] = false;
    alert(words(error, device));
    draw();
  } else if (me && !trtc.getRoom()) {
    void leave(error.code === TRTC.ERROR_CODE.SERVER_ERROR ? words(error) : say('gone'));
  } else {
    alert(words(error));
  }
});
trtc.on(EVENT.NOTICE, ({ message }) => alert(message));
trtc.on(EVENT.AUDIO_VOLUME, ({ result }) => {
  const loud = new Set(result.map((/** @type {any} */ one) => one.userId));
  for (const element of shown.values()) {
    element.classList.toggle('speaking', loud.has(element.dataset.user ?? '') && element.dataset.stream === 'main');
  }
});
trtc.on(EVENT.VIDEO_PLAY_STATE_CHANGED, ({ userId, streamType, state }) => {
  find(tile(userId, streamType), '.slow').hidden = state !== 'PAUSED';
});

// --- drawing

/** @param {'ready' | 'connecting' | 'live' | 'reconnecting' | 'closed'} state */
function setState(state) {
  document.body.dataset.state = state;
  byId('state').textContent = say(state);
}

function draw() {
  const room = trtc.getRoom();
  byId('dev').hidden = !room?.dev;
  const wanted = new Set();
  if (room && me) {
    const own = tile(me.userId, 'main');
    wanted.add(own);
    find(own, '.name').textContent = say('you', me.userId);
    find(own, '.muted').hidden = on.microphone && !muted;
    own.classList.toggle('pictured', on.camera);
    fillLinks(own, room.urls);
    for (const { userId, nick } of room.members) {
      const main = room.streams.find((info) => info.userId === userId && info.stream === 'main');
      wanted.add(drawTile(userId, nick || userId, 'main', main));
      const screen = room.streams.find((info) => info.userId === userId && info.stream === 'aux');
      if (screen) wanted.add(drawTile(userId, say('screenOf', nick || userId), 'sub', screen));
    }
  }
  for (const [key, element] of shown) {
    if (wanted.has(element)) continue;
    if (room) void trtc.stopRemoteVideo({ userId: element.dataset.user ?? '', streamType: /** @type {any} */ (element.dataset.stream) });
    element.remove();
    shown.delete(key);
  }
  byId('alone').hidden = !room || room.members.length > 0;
  label('microphone', !on.microphone || muted, on.microphone && !muted ? 'mute' : 'unmute');
  label('camera', !on.camera, on.camera ? 'cameraOff' : 'cameraOn');
  label('share', on.share, on.share ? 'shareStop' : 'shareStart');
  const sends = me?.role !== 'audience';
  for (const name of ['microphone', 'camera', 'share']) byId(name).hidden = !sends || !isSecureContext;
}

/**
 * @param {string} userId
 * @param {string} name
 * @param {string} streamType
 * @param {any} info what is sent, if anything is
 */
function drawTile(userId, name, streamType, info) {
  const element = tile(userId, streamType);
  find(element, '.name').textContent = name;
  find(element, '.rtmp').hidden = info?.transport !== 'rtmp';
  find(element, '.muted').hidden = !!info?.audio && !info.audioMuted;
  element.classList.toggle('pictured', !!info?.video && !info.videoMuted);
  fillLinks(element, info?.urls ?? {});
  return element;
}

/**
 * @param {string} userId
 * @param {string} streamType
 * @returns {HTMLElement} the tile, made if need be
 */
function tile(userId, streamType) {
  const key = `${userId}/${streamType}`;
  let element = shown.get(key);
  if (!element) {
    const copy = byId('tile').content.firstElementChild.cloneNode(true);
    element = /** @type {HTMLElement} */ (copy);
    element.dataset.user = userId;
    element.dataset.stream = streamType;
    find(element, '.initial').textContent = userId.slice(0, 1).toUpperCase();
    translate(element);
    shown.set(key, element);
    if (userId === me?.userId) tiles.prepend(element);
    else tiles.append(element);
  }
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {Record<string, string>} urls
 */
function fillLinks(element, urls) {
  const known = JSON.stringify(urls);
  const links = find(element, '.links');
  links.hidden = !Object.keys(urls).length;
  if (links.dataset.known === known) return;
  links.dataset.known = known;
  const buttons = Object.entries({ push: 'copyPush', rtc: 'copyRtc', rtmp: 'copyRtmp', flv: 'copyFlv' }).flatMap(([kind, words]) => {
    if (!urls[kind]) return [];
    const button = document.createElement('button');
    button.type = 'button';
    button.dataset.url = kind;
    button.textContent = say(words);
    button.addEventListener('click', () => copy(button, urls[kind], words));
    return [button];
  });
  find(links, '.menu').replaceChildren(...buttons);
}

/**
 * @param {HTMLButtonElement} button
 * @param {string} url
 * @param {string} words
 */
async function copy(button, url, words) {
  try {
    await navigator.clipboard.writeText(url);
    button.textContent = say('copied');
    setTimeout(() => (button.textContent = say(words)), 1500);
  } catch {
    alert(say('copyFailed', url));
  }
}

/**
 * @param {string} id
 * @param {boolean} pressed
 * @param {string} key
 */
function label(id, pressed, key) {
  byId(id).setAttribute('aria-pressed', String(pressed));
  find(byId(id), '.word').textContent = say(key);
}

/**
 * Say something on the page, until it is dismissed.
 * @param {string} text or a key of words.js
 * @param {{text: string, act: () => void}} [action]
 */
function alert(text, action = { text: say('dismiss'), act: () => undefined }) {
  const box = document.createElement('div');
  box.className = 'alert';
  const words = document.createElement('p');
  words.textContent = say(text);
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = action.text;
  button.addEventListener('click', () => {
    box.remove();
    action.act();
  });
  box.append(words, button);
  const same = [...byId('alerts').children].find((other) => other.firstChild?.textContent === words.textContent);
  same?.remove();
  byId('alerts').append(box);
}

const clearAlerts = () => byId('alerts').replaceChildren();

/** @type {Record<string, Record<string, string>>} */
const DEVICE_WORDS = {
  camera: { NotFoundError: 'noCamera', NotAllowedError: 'deniedCamera', NotReadableError: 'busyCamera' },
  microphone: { NotFoundError: 'noMicrophone', NotAllowedError: 'deniedMicrophone', NotReadableError: 'busyMicrophone' },
};

/**
 * @param {any} error
 * @param {Device} [device]
 * @returns {string} what happened, in words for people
 */
function words(error, device) {
  const { reason = '', message = String(error) } = error ?? {};
  if (device && DEVICE_WORDS[device]?.[reason]) return say(DEVICE_WORDS[device][reason]);
  switch (reason) {
    case 'insecure_origin':
      return say('insecure');
    case 'bad_ticket':
      return say('badTicket', message);
    case 'no_guests':
      return say('noGuests', message);
    case 'room_missing':
      return say('roomMissing', message);
    case 'room_full':
      return say('roomFull');
    case 'not_permitted':
      return say('notPermitted', message);
    case 'unreachable':
    case 'lost':
      return say('unreachable');
    default:
      return error?.code === TRTC.ERROR_CODE.DEVICE_ERROR ? say('deviceFailed', message) : say('refused', message);
  }
}

/** @param {HTMLElement} element @param {string} selector @returns {HTMLElement} */
function find(element, selector) {
  return /** @type {HTMLElement} */ (element.querySelector(selector));
}

/** @param {ParentNode} root */
function translate(root) {
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-text]'))) {
    element.textContent = say(element.dataset.text ?? '');
  }
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-label]'))) {
    element.setAttribute('aria-label', say(element.dataset.label ?? ''));
  }
}

document.documentElement.lang = language;
translate(document);
draw();
begin();
