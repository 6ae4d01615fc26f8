// @ts-check
/**
 * The connection in the events of 2018: when it is lost, which part of it, and when it is given up.
 *
 *     out ──first connected──▶ up ──the server is lost──▶ lost ──▶ up, or given up: `over`
 *                              └──the media are lost──▶ broken ──▶ up, or given up by the library: `blocked`
 *
 * The library comes back by itself, and pages of that time leave the room at `onWebSocketClose`. So this is told only when
 * the time that the page's `wsRetryMaxTimes` and `wsRetryDist` come to is over.
 */

import { CODE, failure } from './codes.js';

/** @typedef {import('../trtc.js').default} Trtc */

const RETRIES = 3;
const DISTANCE_MS = 3000;
const LOOK_MS = 2000;
const BUILD_MS = 300;
/** the longest that a timer of the browser waits */
const LONGEST_MS = 0x7fff_ffff;

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * How long a lost server is looked for: the old library waited n times the distance before its n-th try.
 * @param {number} [times]
 * @param {number} [distanceMs]
 */
export function patience(times = RETRIES, distanceMs = DISTANCE_MS) {
  const tries = Math.max(0, Math.trunc(Number(times) || 0));
  return Math.min((Math.max(0, Number(distanceMs) || 0) * tries * (tries + 1)) / 2, LONGEST_MS);
}

export class Connection {
  #trtc;
  #on;
  #patienceMs;
  #known = false;
  #lost = false;
  #broken = false;
  #built = false;
  /** the turn in which a way is looked for */
  #building = -1;
  #timer = 0;
  /** counts returns: what was looked for before the last one is found */
  #turn = 0;

  /**
   * @param {Trtc} trtc
   * @param {{
   *   emit: (name: string, detail: object) => void, userId: () => string, isIn: () => boolean, over: () => Promise<void>,
   * }} on `over`: the stay ends, and its end is told afterwards
   * @param {number} patienceMs
   */
  constructor(trtc, on, patienceMs) {
    this.#trtc = trtc;
    this.#on = on;
    this.#patienceMs = patienceMs;
  }

  /** @param {string} state of CONNECTION_STATE_CHANGED */
  changed(state) {
    if (state === 'CONNECTED') this.#up();
    else if (state === 'CONNECTING' && this.#known && this.#on.isIn()) void this.#look();
  }

  /** Media are to flow, one way or the other: tell when they can. */
  async build() {
    const turn = this.#turn;
    if (this.#built || this.#building === turn) return;
    this.#building = turn;
    while (turn === this.#turn && !(await this.#flows())) await pause(BUILD_MS);
    if (this.#building === turn) this.#building = -1;
    if (turn !== this.#turn || this.#built) return;
    this.#built = true;
    this.#on.emit('onIceConnectionBuild', { result: true, state: 0 });
  }

  /** @returns {Promise<boolean>} whether a way through the network is found, for one of the two connections */
  async #flows() {
    const reports = await this.#trtc.getStats().catch(() => ({ up: undefined, down: undefined }));
    let found = false;
    for (const report of [reports.up, reports.down]) {
      report?.forEach((/** @type {any} */ entry) => (found ||= entry.type === 'candidate-pair' && entry.state === 'succeeded'));
    }
    return found;
  }

  /** The library gives up the media: the server answers, and no UDP gets through. @param {unknown} error */
  async blocked(error) {
    const closed = failure(CODE.ON_ICE_CLOSE, error);
    if (this.#built) this.#on.emit('onIceConnectionClose', { result: false, state: 'failed' });
    else this.#on.emit('onIceConnectionBuild', { result: false, state: 2 });
    this.#built = false;
    this.#on.emit('onErrorNotify', closed);
    await this.#on.over();
    this.#on.emit('onRelayTimeout', closed);
  }

  /** The server takes the member back no more. @param {number} code @param {unknown} error */
  async refused(code, error) {
    const refused = failure(code, error);
    await this.#on.over();
    this.#on.emit('onWebSocketError', refused);
    this.#on.emit('onWebSocketNotify', refused);
    this.#on.emit('onErrorNotify', refused);
    this.#on.emit('onRelayTimeout', refused);
  }

  /** The server was looked for in vain. @param {string} words */
  async closed(words) {
    const closed = failure(CODE.WS_CLOSE, words);
    await this.#on.over();
    this.#on.emit('onWebSocketClose', closed);
    this.#on.emit('onWebSocketNotify', closed);
  }

  /** The stay is over. */
  left() {
    clearTimeout(this.#timer);
    this.#turn += 1;
    if (this.#built) this.#on.emit('onIceConnectionClose', { result: true, state: 'closed' });
    this.#known = this.#lost = this.#broken = this.#built = false;
  }

  #up() {
    clearTimeout(this.#timer);
    this.#turn += 1;
    const [known, lost, broken] = [this.#known, this.#lost, this.#broken];
    this.#known = true;
    this.#lost = this.#broken = false;
    const errorMsg = lost ? 'connected again' : 'connected';
    if (!known || lost) this.#on.emit('onWebSocketNotify', { errorCode: CODE.SUCC, errorMsg, extInfo: {} });
    if (!known) this.#notice('websocket_init_ok', {});
    if (lost) this.#on.emit('onWebSocketReconnection', { userId: this.#on.userId() });
    if (!broken) return;
    this.#notice('on_ice_state_change', { state: 'connected' });
    this.#built = false;
    void this.build();
  }

  /** Something is lost: the server, if it does not answer, else the media. */
  async #look() {
    const turn = this.#turn;
    while (turn === this.#turn && !this.#lost) {
      const answers = await this.#answers();
      if (turn !== this.#turn || this.#lost) return;
      if (!answers) this.#lose();
      else if (!this.#broken) this.#break();
      await pause(LOOK_MS);
    }
  }

  /** @returns {Promise<boolean>} any answer will do, a refusal as well */
  #answers() {
    return this.#trtc.inspect({ userId: this.#on.userId() }).then(
      () => true,
      (error) => error?.code === 5400,
    );
  }

  #lose() {
    this.#lost = true;
    this.#notice('on_websocket_close_by_network_broken', {});
    this.#timer = setTimeout(() => void this.closed('the connection to the server is lost'), this.#patienceMs);
  }

  #break() {
    this.#broken = true;
    this.#notice('on_ice_state_change', { state: 'disconnected' });
    this.#on.emit('onErrorNotify', failure(CODE.ON_ICE_BROKEN, 'the media connection is lost; it is tried again'));
  }

  /** @param {string} event @param {object} info */
  #notice(event, info) {
    this.#on.emit('onUserDefinedWebRTCEventNotice', { event, info });
  }
}
