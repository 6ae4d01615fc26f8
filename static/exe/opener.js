// @ts-check
/**
 * The window that has opened this page (`/exe#opener`, sdk/exestarter.js): it hands over what to open, hears what goes
 * on, and may close it.
 *
 *     page ──{exe: "ready"}──▶ opener          until it answers
 *     page ◀──{exe: "start", object}── opener  of the form of startEXE's object
 *     page ──{exe: "entered" | "failed" | "members" | "message" | "event" | "closed", …}──▶ opener
 *     page ◀──{exe: "stop"}── opener
 *
 * Only the window that opened us is heard, and only the origin that has handed over a ticket is told anything: it could
 * be in the room by that ticket itself.
 */

const READY_EVERY_MS = 250;
const PATIENCE_MS = 15_000;

export class Opener {
  #window;
  #origin = '';
  #stop;

  /** @param {() => void} stop the opener wants the page to close */
  constructor(stop) {
    this.#window = /** @type {Window | null} */ (window.opener);
    this.#stop = stop;
  }

  /** Whether somebody waits for us. @param {string} fragment */
  static waits = (fragment) => /^#opener\b/.test(fragment) && !!window.opener;

  /** @returns {Promise<object | null>} what to open; null: nobody has said so in time */
  ask() {
    const opener = this.#window;
    if (!opener) return Promise.resolve(null);
    return new Promise((resolve) => {
      const done = (/** @type {object | null} */ object) => {
        clearInterval(calling);
        clearTimeout(patience);
        resolve(object);
      };
      // Says nothing but that we are here: anybody may hear it.
      const call = () => opener.postMessage({ exe: 'ready' }, '*');
      const calling = setInterval(call, READY_EVERY_MS);
      const patience = setTimeout(() => done(null), PATIENCE_MS);
      addEventListener('message', ({ source, origin, data }) => {
        if (source !== opener || typeof data !== 'object' || data === null) return;
        if (data.exe === 'start' && !this.#origin && typeof data.object === 'object' && data.object !== null) {
          this.#origin = origin;
          done(data.object);
        } else if (data.exe === 'stop' && origin === this.#origin) {
          this.#stop();
        }
      });
      call();
    });
  }

  /**
   * @param {string} what
   * @param {object} [detail]
   */
  tell(what, detail = {}) {
    if (this.#origin && this.#origin !== 'null') this.#window?.postMessage({ exe: what, ...detail }, this.#origin);
  }
}
