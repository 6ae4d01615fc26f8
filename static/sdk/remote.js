// @ts-check
/**
 * The other members: who is there, what they send, what of it we asked for, and its playing.
 *
 * The server's announcements and each `entered` give the same picture; `entered` after a lost connection is compared
 * with what was known, so that an application hears only of true changes.
 */

import { RtcError, isLost } from './errors.js';
import { Picture } from './local.js';

/**
 * @typedef {import('./peers.js').Stream} Stream
 * @typedef {import('./peers.js').Kind} Kind
 * @typedef {import('./signaling.js').Message} Message
 * @typedef {{userId: string, nick: string, role: 'anchor' | 'audience'}} Member
 * @typedef {{
 *   userId: string, stream: Stream, audio: boolean, video: boolean, audioMuted: boolean, videoMuted: boolean,
 *   transport: string, urls: Record<string, string>,
 * }} StreamInfo
 */

/** One stream of another member, from the first time we hear of it until the member leaves. */
class Incoming {
  /** @type {StreamInfo | null} while it is sent */
  info = null;
  /** @type {Set<Kind>} what the server was asked for */
  asked = new Set();
  /** @type {{audio: MediaStreamTrack | null, video: MediaStreamTrack | null}} */
  tracks = { audio: null, video: null };
  /** @type {{audio: boolean, video: boolean}} as last told to the application */
  told = { audio: false, video: false };
  wantsVideo = false;
  silenced = false;
  blocked = false;
  picture = new Picture();
  sound = Object.assign(new Audio(), { autoplay: false });
}

export class Remotes {
  #request;
  #emit;
  autoAudio = true;
  autoVideo = false;
  #allSilenced = false;
  #volume = 1;
  /** @type {Map<string, Member>} */
  #members = new Map();
  /** @type {Map<string, Incoming>} by user and stream */
  #incoming = new Map();
  #resumeArmed = false;

  /**
   * @param {(type: string, fields: Message) => Promise<Message>} request
   * @param {(event: string, detail: object) => void} emit
   */
  constructor(request, emit) {
    this.#request = request;
    this.#emit = emit;
  }

  get members() {
    return [...this.#members.values()];
  }

  get streams() {
    return [...this.#incoming.values()].flatMap((incoming) => (incoming.info ? [incoming.info] : []));
  }

  /**
   * @param {string} userId
   * @param {Stream} stream
   * @param {Kind} kind
   */
  track(userId, stream, kind) {
    return this.#incoming.get(`${userId}/${stream}`)?.tracks[kind] ?? null;
  }

  /**
   * Take the whole state of the room; nothing is subscribed any more.
   * @param {{members: Member[], streams: StreamInfo[]}} entered
   */
  entered({ members, streams }) {
    const present = new Set(members.map((member) => member.userId));
    for (const userId of [...this.#members.keys()]) if (!present.has(userId)) this.#left(userId, 'left');
    for (const member of members) this.#joined(member);
    const live = new Map(streams.map((info) => [`${info.userId}/${info.stream}`, info]));
    for (const [key, incoming] of this.#incoming) {
      incoming.asked.clear();
      if (!live.has(key)) this.#update(incoming, null);
    }
    for (const info of live.values()) this.#stream(info);
  }

  /** @param {Message} message @returns {boolean} whether it was one of ours */
  message(message) {
    switch (message.t) {
      case 'member+':
        this.#joined(/** @type {any} */ (message));
        return true;
      case 'member-':
        this.#left(message.userId, message.reason);
        return true;
      case 'stream+':
        this.#stream(/** @type {any} */ (message));
        return true;
      case 'stream-': {
        const incoming = this.#incoming.get(`${message.userId}/${message.stream}`);
        if (incoming) this.#update(incoming, null);
        return true;
      }
      case 'mute': {
        const incoming = this.#incoming.get(`${message.userId}/${message.stream}`);
        const field = message.kind === 'audio' ? 'audioMuted' : 'videoMuted';
        if (incoming?.info) this.#update(incoming, { ...incoming.info, [field]: message.muted });
        return true;
      }
      default:
        return false;
    }
  }

  /** @param {(import('./peers.js').Slot & {track: MediaStreamTrack})[]} slots all that come on the down connection */
  slots(slots) {
    const now = new Map(slots.map((slot) => [`${slot.userId}/${slot.stream}/${slot.kind}`, slot.track]));
    for (const [key, incoming] of this.#incoming) {
      for (const kind of /** @type {const} */ (['audio', 'video'])) {
        const track = now.get(`${key}/${kind}`) ?? null;
        if (track === incoming.tracks[kind]) continue;
        incoming.tracks[kind] = track;
        const [userId, stream] = split(key);
        if (track) this.#emit('track', { userId, streamType: type(stream), track });
      }
      this.#play(key, incoming);
    }
  }

  /**
   * @param {string} userId
   * @param {Stream} stream
   * @param {import('./local.js').View | import('./local.js').View[]} view
   * @param {{fillMode?: string, mirror?: boolean}} look
   */
  async showVideo(userId, stream, view, look) {
    const incoming = this.#get(userId, stream);
    incoming.wantsVideo = true;
    incoming.picture.show(view, look);
    this.#play(`${userId}/${stream}`, incoming);
    await this.#subscribe(`${userId}/${stream}`, incoming);
  }

  /**
   * @param {string} userId '*' for everybody
   * @param {Stream} [stream]
   */
  async hideVideo(userId, stream) {
    for (const [key, incoming] of this.#incoming) {
      const [whose, which] = split(key);
      if ((userId !== '*' && whose !== userId) || (stream && which !== stream)) continue;
      incoming.wantsVideo = false;
      incoming.picture.remove();
      await this.#subscribe(key, incoming);
    }
  }

  /**
   * @param {string} userId '*' for everybody
   * @param {boolean} silenced
   */
  async silence(userId, silenced) {
    if (userId === '*') this.#allSilenced = silenced;
    for (const [key, incoming] of this.#incoming) {
      if (userId !== '*' && split(key)[0] !== userId) continue;
      incoming.silenced = silenced;
      await this.#subscribe(key, incoming);
    }
  }

  /**
   * @param {string} userId '*' for everybody
   * @param {number} volume 0..100
   */
  setVolume(userId, volume) {
    const part = Math.min(Math.max(volume, 0), 100) / 100;
    if (userId === '*') this.#volume = part;
    for (const [key, incoming] of this.#incoming) {
      if (userId === '*' || split(key)[0] === userId) incoming.sound.volume = part;
    }
  }

  /** Play what the browser held back: call it from a click. */
  async resume() {
    for (const incoming of this.#incoming.values()) {
      if (!incoming.blocked) continue;
      try {
        await incoming.sound.play();
        incoming.blocked = false;
      } catch {
        // Still not allowed; the next gesture will do.
      }
    }
    return ![...this.#incoming.values()].some((incoming) => incoming.blocked);
  }

  clear() {
    for (const userId of [...this.#members.keys()]) this.#remove(userId);
    this.#incoming.clear();
  }

  /** @param {Member} member */
  #joined({ userId, nick, role }) {
    const known = this.#members.has(userId);
    this.#members.set(userId, { userId, nick, role });
    if (!known) this.#emit('remote-user-enter', { userId, nick, role });
  }

  /**
   * @param {string} userId
   * @param {string} reason
   */
  #left(userId, reason) {
    for (const [key, incoming] of this.#incoming) if (split(key)[0] === userId) this.#update(incoming, null, key);
    this.#remove(userId);
    this.#emit('remote-user-exit', { userId, reason });
  }

  /** @param {string} userId */
  #remove(userId) {
    this.#members.delete(userId);
    for (const [key, incoming] of this.#incoming) {
      if (split(key)[0] !== userId) continue;
      incoming.picture.remove();
      incoming.sound.srcObject = null;
      this.#incoming.delete(key);
    }
  }

  /** @param {StreamInfo} info */
  #stream(info) {
    const incoming = this.#get(info.userId, info.stream);
    const { userId, stream, audio, video, audioMuted, videoMuted, transport, urls } = info;
    this.#update(incoming, { userId, stream, audio, video, audioMuted, videoMuted, transport, urls });
    this.#subscribe(`${info.userId}/${info.stream}`, incoming).catch(warn);
  }

  /**
   * @param {Incoming} incoming
   * @param {StreamInfo | null} info
   * @param {string} [key]
   */
  #update(incoming, info, key = incoming.info ? `${incoming.info.userId}/${incoming.info.stream}` : '') {
    incoming.info = info;
    if (info) key = `${info.userId}/${info.stream}`;
    if (!key) return;
    const [userId, stream] = split(key);
    for (const kind of /** @type {const} */ (['audio', 'video'])) {
      const available = kind === 'audio' ? !!info?.audio && !info.audioMuted : !!info?.video && !info.videoMuted;
      if (available === incoming.told[kind]) continue;
      incoming.told[kind] = available;
      this.#emit(`remote-${kind}-${available ? 'available' : 'unavailable'}`, { userId, streamType: type(stream) });
    }
    this.#play(key, incoming);
  }

  /**
   * @param {string} userId
   * @param {Stream} stream
   */
  #get(userId, stream) {
    const key = `${userId}/${stream}`;
    let incoming = this.#incoming.get(key);
    if (!incoming) {
      incoming = new Incoming();
      incoming.silenced = this.#allSilenced;
      incoming.wantsVideo = this.autoVideo;
      incoming.sound.volume = this.#volume;
      this.#incoming.set(key, incoming);
    }
    return incoming;
  }

  /**
   * Ask the server for what is wanted now and was not asked for yet, and to stop the rest.
   * @param {string} key
   * @param {Incoming} incoming
   */
  async #subscribe(key, incoming) {
    if (!incoming.info) return; // asked for when the stream begins
    const [userId, stream] = split(key);
    /** @type {Set<Kind>} */
    const wanted = new Set();
    if (this.autoAudio && !incoming.silenced) wanted.add('audio');
    if (incoming.wantsVideo) wanted.add('video');
    const missing = [...wanted].filter((kind) => !incoming.asked.has(kind));
    const surplus = [...incoming.asked].filter((kind) => !wanted.has(kind));
    incoming.asked = wanted;
    try {
      if (missing.length) await this.#request('subscribe', { userId, stream, kinds: missing });
      if (surplus.length) await this.#request('unsubscribe', { userId, stream, kinds: surplus });
    } catch (error) {
      // Without the right to see or hear there is nothing to be done; a lost connection asks again when it is back.
      if (!isLost(error) && !(error instanceof RtcError && QUIET.has(error.reason))) throw error;
    }
  }

  /**
   * Give the tracks to their elements, or take them away: a stopped stream would leave its last picture standing.
   * @param {string} key
   * @param {Incoming} incoming
   */
  #play(key, incoming) {
    incoming.picture.play(incoming.told.video ? incoming.tracks.video : null);
    const track = incoming.silenced ? null : incoming.tracks.audio;
    const playing = /** @type {MediaStream | null} */ (incoming.sound.srcObject)?.getTracks()[0] ?? null;
    if (track === playing) return;
    incoming.sound.srcObject = track ? new MediaStream([track]) : null;
    incoming.blocked = false;
    if (!track) return;
    incoming.sound.play().catch((error) => {
      if (error?.name !== 'NotAllowedError') return; // replaced meanwhile
      incoming.blocked = true;
      this.#armResume();
      this.#emit('autoplay-failed', { userId: split(key)[0] });
    });
  }

  /** Any gesture in the page lets the held-back sound play. */
  #armResume() {
    if (this.#resumeArmed) return;
    this.#resumeArmed = true;
    const gestures = ['click', 'touchend', 'keydown'];
    const go = async () => {
      if (!(await this.resume())) return;
      this.#resumeArmed = false;
      for (const name of gestures) document.removeEventListener(name, go, true);
    };
    for (const name of gestures) document.addEventListener(name, go, true);
  }
}

const QUIET = new Set(['not_permitted', 'no_such_stream', 'no_such_member']);

/** @param {string} key @returns {[string, Stream]} */
function split(key) {
  const [userId, stream] = key.split('/');
  return [userId, /** @type {Stream} */ (stream)];
}

/** @param {Stream} stream */
export const type = (stream) => (stream === 'aux' ? 'sub' : 'main');

/** @param {unknown} error */
const warn = (error) => console.warn('remote:', error);
