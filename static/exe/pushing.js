// @ts-check
/** The push of the own stream to the address that the page was opened with: how it stands, in a line under the header. */

import { byId, write } from '../page/dom.js';
import { alert, clearAlerts, reasonOf, wordsOf } from '../page/troubles.js';

/** @typedef {import('../sdk/trtc.js').default} Library */

/** What a person can do about each end that nobody wanted. @type {Record<string, string>} */
const WORDS = {
  unreachable: 'pushUnreachable',
  refused: 'pushRefused',
  protocol: 'pushProtocol',
  silent: 'pushSilent',
  lost: 'pushLost',
  forbidden: 'pushForbidden',
  taken_over: 'pushTakenOver',
};

export class Pushing {
  #trtc;
  #tell;
  #url = '';

  /** @param {Library} trtc @param {(detail: object) => void} tell whoever has opened the page */
  constructor(trtc, tell) {
    this.#trtc = trtc;
    this.#tell = tell;
    const { RELAY_STATE_CHANGED } = /** @type {any} */ (trtc.constructor).EVENT;
    trtc.on(RELAY_STATE_CHANGED, (relay) => this.#changed(relay));
  }

  /** @param {string} url */
  async start(url) {
    this.#url = url;
    for (const key of ['pushNotAllowed', 'pushNothing', ...Object.values(WORDS)]) clearAlerts(key);
    try {
      await this.#trtc.startRelay({ url });
    } catch (error) {
      const reason = reasonOf(error);
      if (WORDS[reason] || reason === 'stopped' || reason === 'unpublished') return; // said where the state is told
      const words = reason === 'not_permitted' ? { key: 'pushNotAllowed' } : reason ? wordsOf(error) : { key: 'pushNothing' };
      alert(words, [this.#again()]);
      this.#tell({ state: 'ended', reason, message: /** @type {any} */ (error)?.message });
    }
  }

  async stop() {
    await this.#trtc.stopRelay().catch(() => undefined);
    byId('pushing').hidden = true;
  }

  over() {
    byId('pushing').hidden = true;
  }

  #again() {
    return { key: 'tryAgain', act: () => void this.start(this.#url) };
  }

  /** @param {{streamType: string, url: string, state: string, reason: string, message: string}} relay */
  #changed({ streamType, url, state, reason, message }) {
    if (streamType !== 'main') return;
    this.#tell({ state, reason, message, url });
    byId('pushing').hidden = state === 'ended';
    write(byId('pushingWord'), state === 'live' ? 'pushLive' : state === 'waiting' ? 'pushWaiting' : 'pushConnecting', url);
    if (state === 'ended' && WORDS[reason]) alert({ key: WORDS[reason], values: [url, message] }, [this.#again()]);
  }
}
