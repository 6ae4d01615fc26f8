// @ts-check
/** The sound of one stream of another member, played by an element that is in no page. */

/** @typedef {import('./picture.js').PlayState} PlayState */

/** @type {Set<Sound>} all that play now, of every instance: the speaker is chosen for all of them */
const playing = new Set();
let speaker = '';

/**
 * Play everything by this speaker from now on.
 * @param {string} deviceId
 */
export async function useSpeaker(deviceId) {
  await Promise.all([...playing].map((sound) => sound.to(deviceId)));
  speaker = deviceId;
}

export class Sound {
  #element = Object.assign(new Audio(), { autoplay: false });
  #on;
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {PlayState} */
  #state = 'STOPPED';
  #muted = () => this.#state === 'PLAYING' && this.#tell('PAUSED', 'mute');
  #unmuted = () => this.#state === 'PAUSED' && this.#tell('PLAYING', 'unmute');
  /** the browser's autoplay rule holds it back */
  blocked = false;

  /** @param {{state: (state: PlayState, reason: string) => void, blocked: () => void}} on */
  constructor(on) {
    this.#on = on;
    this.#element.addEventListener('playing', () => this.#track && this.#tell('PLAYING', 'playing'));
    this.#element.addEventListener('pause', () => this.#track && this.#tell('PAUSED', 'pause'));
  }

  /** @param {number} part 0..1 */
  set volume(part) {
    this.#element.volume = part;
  }

  /** @param {MediaStreamTrack | null} track */
  play(track) {
    if (track === this.#track) return;
    this.#track?.removeEventListener('mute', this.#muted);
    this.#track?.removeEventListener('unmute', this.#unmuted);
    this.#track = track;
    this.blocked = false;
    this.#element.srcObject = track ? new MediaStream([track]) : null;
    if (!track) {
      playing.delete(this);
      return this.#tell('STOPPED', 'ended');
    }
    playing.add(this);
    track.addEventListener('mute', this.#muted);
    track.addEventListener('unmute', this.#unmuted);
    if (speaker) this.to(speaker).catch(() => undefined); // unplugged meanwhile: the default one then
    this.#element.play().catch((error) => {
      if (error?.name !== 'NotAllowedError' || track !== this.#track) return; // replaced meanwhile
      this.blocked = true;
      this.#on.blocked();
    });
  }

  /** Play what was held back; call it from a click. Returns whether it plays. */
  async resume() {
    try {
      await this.#element.play();
      this.blocked = false;
    } catch {
      // Still not allowed; the next gesture will do.
    }
    return !this.blocked;
  }

  /** @param {string} deviceId */
  async to(deviceId) {
    await /** @type {any} */ (this.#element).setSinkId?.(deviceId);
  }

  /**
   * @param {PlayState} state
   * @param {string} reason
   */
  #tell(state, reason) {
    if (state === this.#state) return;
    this.#state = state;
    this.#on.state(state, reason);
  }
}
