// @ts-check
/**
 * The other members: who is there, what they send, and what of it we asked for.
 *
 * The server's announcements and each `entered` give the same picture; `entered` after a lost connection is compared
 * with what was known, so that an application hears only of true changes. In the scene "live" it hears of anchors only.
 */

import { Autoplay } from './autoplay.js';
import { RtcError, isLost, misuse } from './errors.js';
import { Incoming, type } from './incoming.js';
import { log } from './log.js';
import { EVENT } from './names.js';

/**
 * @typedef {import('./peers.js').Stream} Stream
 * @typedef {import('./peers.js').Kind} Kind
 * @typedef {import('./picture.js').View} View
 * @typedef {import('./incoming.js').StreamInfo} StreamInfo
 * @typedef {import('./signaling.js').Message} Message
 * @typedef {{userId: string, nick: string, role: 'anchor' | 'audience'}} Member
 * @typedef {{
 *   small?: boolean, mirror?: boolean | string, fillMode?: import('./picture.js').FillMode,
 *   receiveWhenViewVisible?: boolean, viewRoot?: HTMLElement,
 * }} RemoteVideoOption `small` is taken and has no effect
 */

const QUIET = new Set(['not_permitted', 'no_such_stream', 'no_such_member']);

export class Remotes {
  #request;
  #emit;
  #listens;
  /** as `enterRoom` says */
  autoAudio = true;
  autoVideo = false;
  /** @type {'rtc' | 'live'} */
  scene = 'rtc';
  /** @type {boolean | undefined} */
  autoPlayDialog = undefined;
  /** @type {boolean | undefined} */
  #allSilenced = undefined;
  #volume = 1;
  /** @type {Map<string, number>} 0..1 */
  #volumes = new Map();
  /** @type {Map<string, Member>} */
  #members = new Map();
  /** @type {Set<string>} those whom the application knows of */
  #told = new Set();
  /** @type {Map<string, Incoming>} by user and stream */
  #incoming = new Map();
  #autoplay = new Autoplay(() => this.resume());

  /**
   * @param {(type: string, fields: Message) => Promise<Message>} request
   * @param {{emit: (event: string, detail: object) => void, listens: (event: string) => boolean}} on
   */
  constructor(request, { emit, listens }) {
    this.#request = request;
    this.#emit = emit;
    this.#listens = listens;
  }

  get members() {
    return [...this.#members.values()];
  }

  get streams() {
    return [...this.#incoming.values()].flatMap((incoming) => (incoming.info ? [incoming.info] : []));
  }

  /** Who sends sound, and the ids of the tracks that it arrives in. @returns {Map<string, string[]>} */
  get sounding() {
    /** @type {Map<string, string[]>} */
    const users = new Map();
    for (const { userId, info, tracks } of this.#incoming.values()) {
      if (!info?.audio) continue;
      users.set(userId, [...(users.get(userId) ?? []), ...(tracks.audio ? [tracks.audio.id] : [])]);
    }
    return users;
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
   * @param {string} userId
   * @param {Stream} stream
   */
  snapshot(userId, stream) {
    return this.#incoming.get(`${userId}/${stream}`)?.picture.snapshot() ?? '';
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
      if (!live.has(key)) incoming.update(null);
    }
    for (const info of live.values()) this.#stream(info);
  }

  /** @param {Message} message @returns {boolean} whether it was one of ours that changes the picture of the room */
  message(message) {
    const incoming = this.#incoming.get(`${message.userId}/${message.stream}`);
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
      case 'stream-':
        incoming?.update(null);
        return true;
      case 'mute': {
        const field = message.kind === 'audio' ? 'audioMuted' : 'videoMuted';
        if (incoming?.info) incoming.update({ ...incoming.info, [field]: message.muted });
        return true;
      }
      default:
        return false;
    }
  }

  /** What could not be had before may be had now: ask for everything that is wanted. */
  rightsChanged() {
    for (const incoming of this.#incoming.values()) {
      incoming.asked.clear();
      this.#subscribe(incoming).catch(warn);
    }
  }

  /** @param {Message} message The server pauses a picture for us, or goes on. */
  paused({ userId, stream, kind, paused }) {
    if (kind === 'video') this.#incoming.get(`${userId}/${stream}`)?.picture.hold(paused);
  }

  /** @param {(import('./peers.js').Slot & {track: MediaStreamTrack})[]} slots all that come on the down connection */
  slots(slots) {
    const now = new Map(slots.map((slot) => [`${slot.userId}/${slot.stream}/${slot.kind}`, slot.track]));
    for (const [key, incoming] of this.#incoming) {
      for (const kind of /** @type {const} */ (['audio', 'video'])) incoming.received(kind, now.get(`${key}/${kind}`) ?? null);
      incoming.play();
    }
  }

  /**
   * @param {string} call
   * @param {string} userId
   * @param {Stream} stream
   * @param {View | View[]} view `undefined`: the present ones
   * @param {RemoteVideoOption} option
   */
  async showVideo(call, userId, stream, view, option) {
    const incoming = this.#need(call, userId, stream);
    if (view !== undefined) incoming.picture.show(view);
    incoming.wantsVideo = true;
    const { mirror, fillMode, receiveWhenViewVisible, viewRoot } = option;
    if (mirror !== undefined) incoming.picture.dress({ mirror: !!mirror });
    if (fillMode) incoming.picture.dress({ fillMode });
    if (receiveWhenViewVisible !== undefined) {
      incoming.observe(receiveWhenViewVisible, viewRoot, () => this.#subscribe(incoming).catch(warn));
    }
    incoming.play();
    await this.#subscribe(incoming);
  }

  /**
   * @param {string} userId '*' for everybody
   * @param {Stream} [stream]
   */
  async hideVideo(userId, stream) {
    for (const incoming of this.#of(userId)) {
      if (stream && incoming.stream !== stream) continue;
      incoming.wantsVideo = false;
      incoming.observe(false, undefined, () => undefined);
      incoming.picture.remove();
      await this.#subscribe(incoming);
    }
  }

  /**
   * @param {string} userId '*' for everybody, those who come later too
   * @param {boolean} silenced
   */
  async silence(userId, silenced) {
    if (userId === '*') this.#allSilenced = silenced;
    else if (!this.#members.has(userId)) throw misuse(`muteRemoteAudio: ${userId} is not in the room`, 5102);
    else this.#get(userId, 'main').silenced = silenced;
    for (const incoming of this.#of(userId)) {
      incoming.silenced = silenced;
      incoming.play();
      await this.#subscribe(incoming);
    }
  }

  /**
   * @param {string} userId '*' for everybody
   * @param {number} volume 0..100
   */
  setVolume(userId, volume) {
    const part = volume / 100;
    if (userId === '*') {
      this.#volume = part;
      this.#volumes.clear();
    } else {
      this.#volumes.set(userId, part);
    }
    for (const incoming of this.#of(userId)) incoming.sound.volume = part;
  }

  /** Play what the browser held back: call it from a click. */
  async resume() {
    const blocked = [...this.#incoming.values()].filter((incoming) => incoming.sound.blocked);
    const played = await Promise.all(blocked.map((incoming) => incoming.sound.resume()));
    const all = played.every(Boolean);
    if (all) this.#autoplay.disarm();
    return all;
  }

  clear() {
    for (const incoming of this.#incoming.values()) incoming.close();
    this.#incoming.clear();
    this.#members.clear();
    this.#told.clear();
    this.#volumes.clear();
    this.#allSilenced = undefined;
    this.#autoplay.disarm();
  }

  /** @param {string} userId '*' for everybody */
  #of(userId) {
    return [...this.#incoming.values()].filter((incoming) => userId === '*' || incoming.userId === userId);
  }

  /** @param {Member} member */
  #joined({ userId, nick, role }) {
    this.#members.set(userId, { userId, nick, role });
    const shown = this.scene === 'rtc' || role === 'anchor';
    if (shown && !this.#told.has(userId)) {
      this.#told.add(userId);
      this.#emit(EVENT.REMOTE_USER_ENTER, { userId, nick, role });
    } else if (!shown && this.#told.delete(userId)) {
      this.#emit(EVENT.REMOTE_USER_EXIT, { userId, reason: 'audience' });
    }
  }

  /**
   * @param {string} userId
   * @param {string} reason
   */
  #left(userId, reason) {
    for (const incoming of this.#of(userId)) {
      incoming.update(null);
      incoming.close();
      this.#incoming.delete(`${userId}/${incoming.stream}`);
    }
    this.#members.delete(userId);
    this.#volumes.delete(userId);
    if (this.#told.delete(userId)) this.#emit(EVENT.REMOTE_USER_EXIT, { userId, reason });
  }

  /** @param {StreamInfo} info */
  #stream(info) {
    const incoming = this.#get(info.userId, info.stream);
    const { userId, stream, audio, video, audioMuted, videoMuted, transport, urls } = info;
    incoming.update({ userId, stream, audio, video, audioMuted, videoMuted, transport, urls });
    this.#subscribe(incoming).catch(warn);
  }

  /**
   * @param {string} call
   * @param {string} userId
   * @param {Stream} stream
   */
  #need(call, userId, stream) {
    if (!this.#members.has(userId)) throw misuse(`${call}: ${userId} is not in the room`, 5102);
    const incoming = this.#incoming.get(`${userId}/${stream}`);
    if (!incoming?.info) throw misuse(`${call}: ${userId} has no ${type(stream)} stream`, 5103);
    return incoming;
  }

  /**
   * @param {string} userId
   * @param {Stream} stream
   */
  #get(userId, stream) {
    const key = `${userId}/${stream}`;
    let incoming = this.#incoming.get(key);
    if (!incoming) {
      incoming = new Incoming(userId, stream, {
        emit: this.#emit,
        blocked: (sound) => this.#blocked(userId, sound),
      });
      incoming.silenced = this.#allSilenced ?? !this.autoAudio;
      incoming.wantsVideo = this.autoVideo;
      incoming.picture.dress({ fillMode: stream === 'aux' ? 'contain' : 'cover' });
      incoming.sound.volume = this.#volumes.get(userId) ?? this.#volume;
      this.#incoming.set(key, incoming);
    }
    return incoming;
  }

  /**
   * Ask the server for what is wanted now and was not asked for yet, and to stop the rest.
   * @param {Incoming} incoming
   */
  async #subscribe(incoming) {
    if (!incoming.info) return; // asked for when the stream begins
    const { userId, stream } = incoming;
    const wanted = incoming.wanted();
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
   * @param {string} userId
   * @param {import('./sound.js').Sound} sound
   */
  #blocked(userId, sound) {
    const heard = this.#listens(EVENT.AUTOPLAY_FAILED);
    this.#autoplay.blocked(this.autoPlayDialog ?? !heard);
    this.#emit(EVENT.AUTOPLAY_FAILED, { userId, mediaType: 'audio', resume: () => sound.resume() });
  }
}

/** @param {unknown} error */
const warn = (error) => log.warn('remote:', error);
