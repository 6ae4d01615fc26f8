/**
 * One live-player: started, watched, started again. It goes on as long as its member is in the list, for a broken
 * connection is no reason to lose somebody.
 *
 * Mode RTC first: on a server that is not the vendor's it always reports -2302 (it has no accelerated address), and
 * then either plays the plain URL or, in some builds, shows nothing or gives up. So what shows nothing within 5 s
 * changes to mode live with a small cache, for as long as its address is the same.
 */

/** @typedef {import('./layout.js').RoomMember} RoomMember */

const EVENT = {
  FIRST_FRAME: 2003,
  PLAYING: 2004,
  END: 2006,
  LOADING: 2007,
  RECONNECTING: 2103,
  DISCONNECTED: -2301,
  NO_ACCELERATED_URL: -2302,
  REFUSED: -2308,
};
const PICTURE_MS = 5000;
const PAUSES_MS = [500, 1000, 2000, 4000, 8000];
/** @type {import('./layout.js').Playing} */
const FALLBACK = { mode: 'live', minCache: 0.2, maxCache: 0.8 };
/** So many losses without a picture between them, and the page is told; we go on trying. */
const PATIENCE = 4;

class Player {
  /**
   * @param {RoomMember} member changed in place
   * @param {{ context: (id: string) => WechatMiniprogram.LivePlayerContext, autoplay: () => boolean,
   *   changed: (done?: () => void) => void, hopeless: () => void }} host `changed` shows the members as they are now,
   *   then calls `done`; `hopeless`: nothing could be played for long
   */
  constructor(member, host) {
    this.member = member;
    this._host = host;
    this._failures = 0;
    this._playing = false;
    this._seen = false;
    this._running = false;
    this._started = false;
    /** @type {any} */ this._timer = null;
  }

  /** The member is on the page: play it, if somebody wants to see it. */
  start() {
    this._failures = 0;
    this._seen = false;
    if (this.member.wanted) this._attempt();
  }

  /** Its tag is a new one. */
  redrawn() {
    this._started = false;
    this.start();
  }

  /** For the time being; `resume` goes on. */
  pause() {
    clearTimeout(this._timer);
    if (this._running) this._context().pause();
  }

  resume() {
    if (!this._running) return;
    this._context().resume();
    if (!this._playing) this._expectPicture();
  }

  stop() {
    clearTimeout(this._timer);
    if (this._running) this._context().stop();
    this._running = this._playing = false;
  }

  /** Statechange of the tag. @param {number} code */
  event(code) {
    if (!this._running) return;
    switch (code) {
      case EVENT.FIRST_FRAME:
      case EVENT.PLAYING:
        clearTimeout(this._timer);
        this._playing = this._seen = true;
        this._failures = 0;
        this._loading(false);
        break;
      case EVENT.LOADING:
        this._loading(true);
        break;
      case EVENT.RECONNECTING:
        this._playing = false;
        this._loading(true);
        break;
      case EVENT.NO_ACCELERATED_URL:
        if (!this._playing) this._expectPicture();
        break;
      case EVENT.END:
      case EVENT.DISCONNECTED:
      case EVENT.REFUSED:
        this._lost();
        break;
      default:
    }
  }

  _context() {
    return this._host.context(`player-${this.member.userID}`);
  }

  _attempt() {
    clearTimeout(this._timer);
    // A tag with autoplay that has just been made starts by itself; told again it would connect twice.
    const itself = !this._started && this._host.autoplay();
    this._running = this._started = true;
    this._playing = false;
    this.member.loading = true;
    this._host.changed(() => {
      if (!this._running) return;
      if (!itself) {
        const context = this._context();
        context.stop();
        context.play();
      }
      this._expectPicture();
    });
  }

  _expectPicture() {
    clearTimeout(this._timer);
    if (this.member.mode === 'RTC' && !this._seen) this._timer = setTimeout(() => this._toLive(), PICTURE_MS);
  }

  _toLive() {
    Object.assign(this.member, FALLBACK);
    this._attempt();
  }

  _lost() {
    if (this.member.mode === 'RTC' && !this._seen) {
      this._toLive();
      return;
    }
    this._playing = false;
    this._loading(true);
    clearTimeout(this._timer);
    const pause = PAUSES_MS[Math.min(this._failures, PAUSES_MS.length - 1)];
    this._failures += 1;
    this._timer = setTimeout(() => this._attempt(), pause);
    if (this._failures === PATIENCE) this._host.hopeless();
  }

  /** @param {boolean} loading */
  _loading(loading) {
    if (this.member.loading === loading) return;
    this.member.loading = loading;
    this._host.changed();
  }
}

module.exports = { Player };
