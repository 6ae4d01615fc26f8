// @ts-check
/**
 * One member's call: its parts, what the server tells them, and how it goes on when the network does not.
 *
 * The own tracks (`sources`) outlive every connection and every room; all else begins anew with each entry.
 */

import { Chat } from './chat.js';
import { ticket } from './checks.js';
import { DeviceWatch } from './devices.js';
import { Emitter } from './emitter.js';
import { ERROR_CODE, RtcError, aborted, isLost, misuse } from './errors.js';
import { Locals } from './locals.js';
import { log } from './log.js';
import { Moderation } from './moderation.js';
import { EVENT } from './names.js';
import { DownPeer, UpPeer } from './peers.js';
import { Relays } from './relay.js';
import { Remotes } from './remote.js';
import { Sei } from './sei.js';
import { Signaling } from './signaling.js';
import { Sources } from './sources.js';
import { Statistics } from './statistics.js';
import { Volumes } from './volume.js';
import { Watchdog } from './watchdog.js';

/**
 * @typedef {import('./signaling.js').Message} Message
 * @typedef {'DISCONNECTED' | 'CONNECTING' | 'CONNECTED'} ConnectionState
 * @typedef {{
 *   server?: string, url?: string, codecs?: string[], enableSEI?: boolean,
 *   plugins?: unknown[], assetsPath?: string, userDefineRecordId?: string,
 * }} CreateOptions ours: `server` is the origin of the gateway, such as https://gw.example.com (default: where this
 *   file came from), `url` the exact address of its signaling, `codecs` those to send pictures in, by preference
 *   (default H264, VP8). Those of the last line are taken and have no effect.
 */

/** @type {Set<Call>} */
const calls = new Set();

export class Call {
  /** @param {(call: Call) => void} act on every call of this page */
  static each(act) {
    for (const call of calls) act(call);
  }

  events = new Emitter();
  /** @type {Signaling} */
  signaling;
  /** @type {Chat} */
  chat;
  /** @type {ConnectionState} */
  #state = 'DISCONNECTED';
  /** @type {Message | null} the last `entered` */
  #room = null;
  #entering = false;
  #blocked = false;

  /** @param {CreateOptions} options */
  constructor({ server, url, codecs = ['H264', 'VP8'], enableSEI = false }) {
    const address = new URL(url ?? '/signaling', server ?? import.meta.url);
    address.protocol = address.protocol.replace(/^http/, 'ws');
    const emit = (/** @type {string} */ event, /** @type {unknown} */ detail) => this.events.emit(event, detail);
    const changed = () => this.#updateState();
    this.signaling = new Signaling(address.href, {
      onState: (state, error) => this.#signalingState(state, error),
      onEntered: (entered, again) => this.#entered(entered, again),
      onMessage: (message) => this.#message(message),
      kept: () => this.#kept(),
      chat: () => this.chat.enterFields(),
    });
    const request = (/** @type {string} */ type, /** @type {Message} */ fields) => this.signaling.request(type, fields);
    this.chat = new Chat({ request, emit, isIn: () => this.#room !== null, userId: () => this.#room?.userId ?? '' });
    this.sei = new Sei(enableSEI, emit);
    this.up = new UpPeer(this.signaling, codecs, {
      changed,
      failed: (error) => emit(EVENT.ERROR, error),
      channel: (channel) => this.chat.channel(channel),
      sender: (sender, stream, kind) => this.sei.sender(sender, stream, kind),
    });
    this.remotes = new Remotes(request, { emit, listens: (event) => this.events.listens(event) });
    this.down = new DownPeer(this.signaling, {
      changed,
      slots: (slots) => this.remotes.slots(slots),
      receiver: (receiver) => this.sei.receiver(receiver),
      owner: (receiver, slot) => this.sei.owner(receiver, slot),
    });
    this.devices = new DeviceWatch((change) => emit(EVENT.DEVICE_CHANGED, change));
    this.sources = new Sources(this.up, {
      maySend: () => this.#room !== null && !this.#isAudience(),
      mute: (stream, kind, muted) => request('mute', { stream, kind, muted }),
      ended: (source) => void this.locals.ended(source),
      published: (change) => emit(EVENT.PUBLISH_STATE_CHANGED, change),
    });
    this.moderation = new Moderation(request, emit);
    this.relays = new Relays(request, {
      emit,
      sends: (stream) => (stream === 'main' ? ['audio', 'video'] : ['screen']).some((name) => this.sources.sends(/** @type {any} */ (name))),
    });
    this.locals = new Locals(this.sources, {
      emit,
      isAudience: () => this.#isAudience(),
      used: (kind, deviceId) => void this.devices.used(kind, deviceId),
    });
    this.volumes = new Volumes({
      tell: (detail) => this.#room && emit(EVENT.AUDIO_VOLUME, detail),
      own: () => this.sources.track('audio', true),
      up: () => this.up.connection,
      down: () => this.down.connection,
      users: () => this.remotes.sounding,
    });
    this.statistics = new Statistics({
      statistics: (statistic) => emit(EVENT.STATISTICS, statistic),
      quality: (quality) => emit(EVENT.NETWORK_QUALITY, quality),
      up: () => this.up.connection,
      down: () => this.down.connection,
      sent: () => this.up.streams,
      received: () => this.down.received,
    });
    this.watchdog = new Watchdog({
      network: () => this.#newNetwork(),
      awake: () => this.#awake(),
      blocked: () => this.#mediaBlocked(),
      media: () => this.#media(),
    });
    calls.add(this);
  }

  /**
   * Throw INVALID_OPERATION outside a room, or for one of the audience.
   * @param {string} call
   * @param {boolean} [toSend]
   */
  need(call, toSend = false) {
    if (!this.#room) throw misuse(`${call}: enter a room first`, 5101);
    if (toSend && this.#isAudience()) throw misuse(`${call}: the audience sends nothing; see switchRole`, 5107);
  }

  /** @param {import('./checks.js').EnterRoomConfig} config */
  async enter(config) {
    const fields = ticket(config);
    if (this.#entering) throw aborted('enterRoom');
    if (this.signaling.state !== 'closed') throw misuse('enterRoom: this instance is in a room already', 5104);
    this.remotes.autoAudio = config.autoReceiveAudio ?? true;
    this.remotes.autoVideo = config.autoReceiveVideo ?? false;
    this.remotes.scene = config.scene ?? 'rtc';
    this.remotes.autoPlayDialog = config.enableAutoPlayDialog;
    this.#entering = true;
    try {
      await this.signaling.enter(fields);
    } finally {
      this.#entering = false;
    }
  }

  async exit() {
    await this.signaling.leave();
    this.#gone();
  }

  /**
   * @param {'anchor' | 'audience'} role
   * @param {string} [privateMapKey]
   */
  async switchRole(role, privateMapKey) {
    const reply = await this.signaling.request('role', privateMapKey ? { role, privateMapKey } : { role });
    if (!this.#room) return;
    this.#room = { ...this.#room, role, privileges: reply.privileges };
    this.signaling.amend(privateMapKey ? { role, privateMapKey } : { role });
    await this.sources.roleChanged();
    this.events.emit(EVENT.ROOM_CHANGED, this.describe());
  }

  async destroy() {
    await this.exit();
    this.locals.close();
    this.volumes.stop();
    this.devices.close();
    this.watchdog.close();
    this.sei.close();
    this.events.off('*');
    calls.delete(this);
  }

  describe() {
    if (!this.#room) return null;
    const { userId, roomId, strRoomId, role, privileges, urls, dev, kind, creator, roomInfo, time: enteredAt } = this.#room;
    const { members, streams } = this.remotes;
    const moderation = this.moderation.describe();
    return {
      userId, roomId, strRoomId, role, privileges, urls, dev: !!dev, members, streams, kind, creator, roomInfo, moderation,
      enteredAt,
    };
  }

  /**
   * @param {ArrayBuffer} buffer
   * @param {{seiPayloadType?: number, toSubStream?: boolean}} option
   */
  sendSei(buffer, { seiPayloadType, toSubStream = false }) {
    this.sei.send(buffer, toSubStream ? 'aux' : 'main', seiPayloadType);
  }

  #isAudience() {
    return this.#room?.role === 'audience';
  }

  // --- what the server says

  /**
   * @param {Message} entered
   * @param {boolean} again after the connection was lost
   */
  #entered(entered, again) {
    const kept = new Set(again ? entered.kept : []);
    this.#room = entered;
    this.chat.entered(entered, again);
    this.moderation.entered(entered);
    if (kept.has('down')) this.down.restart();
    else this.down.drop();
    this.remotes.entered(/** @type {any} */ (entered));
    if (kept.has('up')) this.up.restart();
    const sending = kept.has('up') ? this.sources.resendMutes() : this.sources.resend();
    sending.catch((error) => this.#trouble(error));
    if (again) this.relays.entered();
    this.statistics.start();
    this.watchdog.start();
    this.events.emit(EVENT.ROOM_CHANGED, this.describe());
  }

  /** @returns {('up' | 'down')[]} */
  #kept() {
    /** @type {('up' | 'down')[]} */
    const kept = [];
    if (living(this.up.connectionState)) kept.push('up');
    if (living(this.down.connectionState)) kept.push('down');
    return kept;
  }

  /** @param {Message} message */
  #message(message) {
    if (this.chat.message(message) || this.relays.message(message)) return;
    if (this.remotes.message(message) || this.moderation.message(message)) {
      this.events.emit(EVENT.ROOM_CHANGED, this.describe());
      return;
    }
    switch (message.t) {
      case 'rights':
        this.#room = this.#room && { ...this.#room, privileges: message.privileges };
        this.remotes.rightsChanged();
        this.events.emit(EVENT.ROOM_CHANGED, this.describe());
        break;
      case 'offer':
        void this.down.offered(/** @type {any} */ (message));
        break;
      case 'closed':
        if (message.direction === 'down') this.down.rebuild();
        else this.sources.resend().catch((error) => this.#trouble(error));
        break;
      case 'kicked': {
        const reason = message.reason === 'replaced' ? 'kick' : message.reason;
        this.signaling.close();
        this.#gone();
        this.events.emit(EVENT.KICKED_OUT, { reason, detail: message.reason });
        break;
      }
      case 'speaking':
        this.volumes.said(message.users);
        break;
      case 'pause':
        this.remotes.paused(message);
        break;
      case 'notice': {
        const streamType = message.stream === 'aux' ? 'sub' : 'main';
        this.events.emit(EVENT.NOTICE, { userId: message.userId, streamType, message: message.message });
        break;
      }
      default:
        log.debug('a newer server says', message);
    }
  }

  /**
   * @param {import('./signaling.js').SignalingState} state
   * @param {RtcError} [error]
   */
  #signalingState(state, error) {
    if (state === 'closed' && error) {
      this.#gone();
      this.events.emit(EVENT.ERROR, error);
    }
    this.#updateState();
  }

  /** @param {RtcError} error of something that nobody waits for */
  #trouble(error) {
    if (!isLost(error)) this.events.emit(EVENT.ERROR, error);
  }

  // --- when the network does not

  /** Another network, as when a phone leaves the house: find a way through it before the old one is missed. */
  #newNetwork() {
    this.signaling.probe();
    if (this.signaling.state !== 'open') return;
    this.up.restart();
    this.down.restart();
  }

  /** The page was hidden, or nothing ran at all: what has died meanwhile is to be noticed now. */
  #awake() {
    this.signaling.probe();
    if (this.signaling.state !== 'open') return;
    for (const peer of [this.up, this.down]) {
      if (['disconnected', 'failed'].includes(peer.connectionState)) peer.restart();
    }
  }

  /** @returns {'none' | 'wanted' | 'there'} */
  #media() {
    if (this.up.connectionState === 'connected') return 'there';
    return this.signaling.state === 'open' ? 'wanted' : 'none';
  }

  #mediaBlocked() {
    this.#blocked = true;
    this.sources.blocked(true);
    const message = 'the server answers, but sound and pictures do not get through: a firewall seems to hold UDP back';
    this.events.emit(
      EVENT.ERROR,
      new RtcError(ERROR_CODE.OPERATION_FAILED, message, { extraCode: 5501, reason: 'media_blocked' }),
    );
  }

  /** The room is over for us; the own devices stay open, as in the library we resemble. */
  #gone() {
    this.#room = null;
    this.chat.left();
    this.relays.left();
    this.moderation.left();
    this.statistics.stop();
    this.watchdog.stop();
    this.#blocked = false;
    this.up.close();
    this.down.drop();
    this.remotes.clear();
    this.sources.left();
    this.#updateState();
    this.events.emit(EVENT.ROOM_CHANGED, null);
  }

  #updateState() {
    if (this.#blocked && this.up.connectionState === 'connected') {
      this.#blocked = false;
      this.sources.blocked(false);
    }
    const broken = [this.up.connectionState, this.down.connectionState].some((state) =>
      ['disconnected', 'failed'].includes(state),
    );
    /** @type {ConnectionState} */
    let state = 'CONNECTING';
    if (this.signaling.state === 'closed') state = 'DISCONNECTED';
    else if (this.signaling.state === 'open' && !broken) state = 'CONNECTED';
    if (state === this.#state) return;
    const prevState = this.#state;
    this.#state = state;
    log.info(prevState, '→', state);
    this.events.emit(EVENT.CONNECTION_STATE_CHANGED, { prevState, state });
  }
}

/** @param {string} state */
const living = (state) => ['connecting', 'connected', 'disconnected'].includes(state);
