// @ts-check
/**
 * The own streams, pushed on by the server to RTMP addresses elsewhere (docs/protocol.md, relay): what was asked for,
 * how it stands, and the same under the name that the TRTC v5 library has for it, the plugin "CDNStreaming".
 */

import { ERROR_CODE, RtcError, invalid, misuse, unsupported } from './errors.js';
import { EVENT } from './names.js';
import { log } from './log.js';

/**
 * @typedef {'main' | 'aux'} Stream
 * @typedef {'connecting' | 'live' | 'waiting' | 'ended'} RelayState
 * @typedef {{streamType: 'main' | 'sub', url: string, state: RelayState, reason: string, message: string}} Relay
 *   `url` as the server shows it, without its query
 * @typedef {{url: string, changed: ((relay: Relay) => void) | null}} Wish
 * @typedef {{target?: {publishMode?: string, url?: string}}} CdnOptions
 */

const PLUGIN = 'CDNStreaming';
/** @type {Record<string, Stream>} */
const MODES = { PublishMainStreamToCDN: 'main', PublishSubStreamToCDN: 'aux' };
/** The server knows a stream when its first packets have come through, a moment after it was sent. */
const PUBLISH_MS = 10_000;
const LOOK_MS = 300;

export class Relays {
  #request;
  #emit;
  #sends;
  /** @type {Map<Stream, Wish>} */
  #wishes = new Map();
  /** @type {Map<Stream, Relay>} */
  #known = new Map();

  /**
   * @param {(type: string, fields: Record<string, any>) => Promise<Record<string, any>>} request
   * @param {{emit: (event: string, detail: object) => void, sends: (stream: Stream) => boolean}} on `sends`: whether
   *   something of that stream is captured and meant to be sent
   */
  constructor(request, on) {
    this.#request = request;
    this.#emit = on.emit;
    this.#sends = on.sends;
  }

  /** Those that are wanted, as they stand. @returns {Relay[]} */
  get list() {
    return [...this.#known.values()].map((relay) => ({ ...relay }));
  }

  /**
   * Resolves when the server there takes the stream. Rejects when the relay is refused, or given up.
   * @param {Stream} stream
   * @param {string} url
   * @returns {Promise<void>}
   */
  async start(stream, url) {
    if (!this.#sends(stream)) throw misuse(`startRelay: the ${stream === 'main' ? 'camera and microphone are' : 'screen is'} not sent`, 5105);
    this.#wishes.get(stream)?.changed?.(ended(stream, 'replaced'));
    /** @type {Wish} */
    const wish = { url, changed: null };
    this.#wishes.set(stream, wish);
    /** @type {Promise<void>} */
    const settled = new Promise((resolve, reject) => {
      wish.changed = ({ state, reason, message }) => {
        if (state === 'live') resolve();
        else if (state === 'ended') reject(new RtcError(ERROR_CODE.OPERATION_FAILED, message || reason, { reason }));
      };
    });
    settled.catch(() => undefined); // when the request itself is refused nobody waits for it
    try {
      const answer = await this.#ask(stream, wish);
      if (this.#wishes.get(stream) === wish) this.#note({ ...answer, stream });
    } catch (error) {
      if (this.#wishes.get(stream) === wish) this.#wishes.delete(stream);
      throw error;
    }
    await settled;
  }

  /** @param {Stream} stream */
  async stop(stream) {
    if (!this.#wishes.has(stream)) throw misuse('stopRelay: this stream is not relayed');
    this.#wishes.get(stream)?.changed?.(ended(stream, 'stopped'));
    this.#wishes.delete(stream);
    await this.#request('unrelay', { stream }).catch((error) => {
      if (error.reason !== 'no_such_stream') throw error; // it has just ended by itself
    });
  }

  /**
   * @param {Record<string, any>} message an announcement of the server
   * @returns {boolean} whether it was one of ours
   */
  message(message) {
    if (message.t !== 'relay') return false;
    this.#note(message);
    return true;
  }

  /** In the room again: what has ended meanwhile begins anew, what goes on is told. */
  entered() {
    for (const [stream, wish] of this.#wishes) {
      this.#ask(stream, wish).then(
        (answer) => this.#wishes.get(stream) === wish && this.#note({ ...answer, stream }),
        (error) => this.#note({ stream, url: '', state: 'ended', reason: error.reason || 'lost', message: error.message }),
      );
    }
  }

  /** The room is over, and every relay with it. */
  left() {
    for (const stream of [...this.#known.keys()]) this.#note({ ...ended(stream, 'unpublished'), stream });
    this.#wishes.clear();
  }

  /**
   * Ask for it; a stream that was sent just now may be unknown to the server for a moment.
   * @param {Stream} stream
   * @param {Wish} wish
   */
  async #ask(stream, wish) {
    const until = performance.now() + PUBLISH_MS;
    for (;;) {
      try {
        return await this.#request('relay', { stream, url: wish.url });
      } catch (error) {
        const early = error instanceof RtcError && error.reason === 'no_such_stream' && performance.now() < until;
        if (!early || !this.#sends(stream) || this.#wishes.get(stream) !== wish) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  /** @param {Record<string, any>} told */
  #note({ stream, url = '', state, reason = '', message = '' }) {
    const before = this.#known.get(stream);
    /** @type {Relay} */
    const relay = { streamType: stream === 'aux' ? 'sub' : 'main', url: url || before?.url || '', state, reason, message };
    if (JSON.stringify(relay) === JSON.stringify(before)) return;
    const wish = this.#wishes.get(stream);
    if (state === 'ended') {
      this.#known.delete(stream);
      if (reason !== 'replaced') this.#wishes.delete(stream);
    } else {
      this.#known.set(stream, relay);
    }
    log.info('relay', stream, state, reason);
    this.#emit(EVENT.RELAY_STATE_CHANGED, { ...relay });
    if (reason !== 'replaced') wish?.changed?.(relay); // whoever asked for the older one has been told
  }

  // --- the plugin

  /**
   * @param {string} plugin
   * @param {CdnOptions} [option]
   */
  async startPlugin(plugin, option) {
    const stream = streamOf(plugin, option);
    const url = option?.target?.url;
    if (typeof url !== 'string' || !url) {
      throw invalid('target.url: an rtmp:// address is needed; what this server itself plays is in getRoom().urls', 5001);
    }
    await this.start(stream, url);
  }

  /**
   * @param {string} plugin
   * @param {CdnOptions} [option]
   */
  async stopPlugin(plugin, option) {
    if (plugin !== PLUGIN) throw misuse(`stopPlugin: ${plugin} was never started; CDNStreaming is the only plugin here`);
    await this.stop(streamOf(plugin, option));
  }
}

/**
 * @param {string} plugin
 * @param {CdnOptions} [option]
 * @returns {Stream}
 */
function streamOf(plugin, option) {
  if (plugin !== PLUGIN) throw unsupported(`the plugin ${plugin} is not there: CDNStreaming is the only one`);
  const mode = option?.target?.publishMode ?? '';
  if (/^PublishMixStream/.test(mode)) throw unsupported(`${mode}: this server does not mix pictures`);
  if (!Object.hasOwn(MODES, mode)) throw invalid(`target.publishMode: one of ${Object.keys(MODES).join(', ')}`, 5005);
  return MODES[mode];
}

/** @param {Stream} stream @param {string} reason @returns {Relay} */
const ended = (stream, reason) => ({
  streamType: stream === 'aux' ? 'sub' : 'main', url: '', state: 'ended', reason, message: `the relay has ended: ${reason}`,
});
