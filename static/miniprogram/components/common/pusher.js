/**
 * The one live-pusher of a page: started, and watched until it publishes. It does not start a lost connection again:
 * the tag has tried that three times itself when it says -1307, and then the stay is over.
 */

const BEGUN = 1002;
/** Signs that it is on its way: connected, camera, bitrate, first picture, encoder. */
const SIGNS = { first: 1001, last: 1008 };
/** Some builds forget to say 1002, though they push: so long after the first other sign it is taken as said. */
const FORGOTTEN_MS = 5000;

class Pusher {
  /** @param {() => WechatMiniprogram.LivePusherContext} context of the tag that is on the page now */
  constructor(context) {
    this._context = context;
    /** Whether it is to publish. */
    this.running = false;
    this._begun = () => {};
    this._waits = false;
    /** @type {any} */ this._timer = null;
  }

  /** @param {() => void} begun called once, when what it sends arrives */
  start(begun) {
    if (this.running) this._context().stop();
    this._forget();
    this.running = true;
    this._begun = begun;
    this._waits = true;
    this._context().start();
  }

  /** Its tag is a new one, or has new attributes that it reads only when it starts. */
  restart() {
    if (!this.running) return;
    this._context().stop();
    this._context().start();
  }

  stop() {
    this._forget();
    if (this.running) this._context().stop();
    this.running = this._waits = false;
  }

  pause() {
    if (this.running) this._context().pause();
  }

  resume() {
    if (this.running) this._context().resume();
  }

  /** Works for the picture that is shown before anything is sent, too. */
  switchCamera() {
    this._context().switchCamera({});
  }

  /** Statechange of the tag. @param {number} code */
  event(code) {
    if (!this._waits) return;
    if (code === BEGUN) {
      this._begin();
    } else if (code >= SIGNS.first && code <= SIGNS.last) {
      if (this._timer === null) this._timer = setTimeout(() => this._begin(), FORGOTTEN_MS);
    } else {
      this._forget();
    }
  }

  /** Some trouble: what it says next decides. */
  _forget() {
    clearTimeout(this._timer);
    this._timer = null;
  }

  _begin() {
    this._forget();
    this._waits = false;
    this._begun();
  }
}

module.exports = { Pusher };
