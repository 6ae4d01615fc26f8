// @ts-check
/**
 * Notices what a connection notices late: another network, a tab or a computer that has slept, and a network that lets
 * the server's words through but no media.
 */

const TICK_MS = 2_000;
/** A timer this late means that nothing ran meanwhile: the tab was frozen, or the computer slept. */
const SLEPT_MS = 10_000;
const BLOCKED_MS = 12_000;

/** @type {EventTarget | undefined} of browsers that tell about the network */
const networkInformation = /** @type {any} */ (navigator).connection;

export class Watchdog {
  #on;
  #timer = 0;
  #last = 0;
  /** since when there should be media and is none, or 0 */
  #since = 0;
  #told = false;
  #network = () => this.#on.network();
  #visible = () => document.visibilityState === 'visible' && this.#on.awake();

  /**
   * @param {{
   *   network: () => void,
   *   awake: () => void,
   *   blocked: () => void,
   *   media: () => 'none' | 'wanted' | 'there',
   * }} on `media`: whether a connection for media is up, should be, or is not expected
   */
  constructor(on) {
    this.#on = on;
    addEventListener('online', this.#network);
    networkInformation?.addEventListener('change', this.#network);
    document.addEventListener('visibilitychange', this.#visible);
  }

  /** The room is entered: watch until `stop`. */
  start() {
    this.stop();
    this.#last = Date.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#since = 0;
    this.#told = false;
  }

  close() {
    this.stop();
    removeEventListener('online', this.#network);
    networkInformation?.removeEventListener('change', this.#network);
    document.removeEventListener('visibilitychange', this.#visible);
  }

  #tick() {
    const now = Date.now();
    const slept = now - this.#last > SLEPT_MS;
    this.#last = now;
    if (slept) {
      this.#since = 0;
      this.#on.awake();
    }
    const media = this.#on.media();
    if (media === 'there') this.#told = false;
    if (media !== 'wanted') {
      this.#since = 0;
    } else if (!this.#since) {
      this.#since = now;
    } else if (now - this.#since >= BLOCKED_MS - TICK_MS && !this.#told) {
      this.#told = true;
      this.#on.blocked();
    }
  }
}
