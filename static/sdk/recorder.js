// @ts-check
/**
 * Records a call into files, in the browser: the pictures of all as they stand, the sound of all, mixed.
 *
 *     import { Recorder } from '/sdk/recorder.js';
 *     const recorder = new Recorder(trtc);
 *     await recorder.start();
 *     const files = await recorder.stop();          // in the downloads by now
 *
 * Whoever comes and goes, shares a screen or changes a device does so in the recording too. It goes on at full pace
 * while the page is in the background. Memory stays small: pieces of a second go to the disk, or where there is none to
 * be had, files end before they are large. Uses the public library only; knows no page.
 */

import { ERROR_CODE, RtcError, misuse, unsupported } from './errors.js';
import { log } from './log.js';
import { download, openSink } from './recorder/files.js';
import { Screen, grid } from './recorder/picture.js';
import { Slice } from './recorder/slice.js';
import { Mix } from './recorder/sound.js';

/**
 * @typedef {import('./trtc.js').default} Library
 * @typedef {import('./recorder/picture.js').Part} Part
 * @typedef {import('./recorder/files.js').Written} Written
 * @typedef {'off' | 'starting' | 'on' | 'stopping'} RecorderState
 * @typedef {{
 *   pictures?: (width: number, height: number) => Part[], width?: number, height?: number, frameRate?: number,
 *   bitrate?: number, sliceMs?: number, background?: string,
 *   changed?: () => void, written?: (file: Written) => void, failed?: (error: RtcError) => void,
 * }} RecorderOptions `pictures`: what stands where, asked for every picture (a grid of all, if not given); `bitrate` of
 *   the picture in kbit/s; `sliceMs`: a file ends after so long and the next begins; `changed`: another state;
 *   `written`: a file is whole; `failed`: it had to stop, what there is was kept
 */

const SLICE_MS = 60 * 60_000;
const CLICK_WAIT_MS = 1500;
const LOOK_S = 0.25;
/** What plays everywhere first; then what every browser makes. */
const TYPES = ['video/mp4;codecs=avc1.42E01F,mp4a.40.2', 'video/webm;codecs=vp8,opus', 'video/webm', 'video/mp4'];

export class Recorder {
  /** The form of the files: 'mp4', 'webm', or '' if this browser cannot record. */
  static get format() {
    const type = typeOf();
    return type.includes('mp4') ? 'mp4' : type ? 'webm' : '';
  }

  /** @type {RecorderState} */
  state = 'off';
  #trtc;
  #options;
  /** @type {Mix | null} */
  #mix = null;
  /** @type {Screen | null} */
  #screen = null;
  /** @type {Slice | null} */
  #slice = null;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {FileSystemDirectoryHandle | null} */
  #folder = null;
  #name = '';
  #began = 0;
  #sliceBegan = 0;
  #looked = 0;
  #turning = false;
  /** @type {Written[]} */
  #files = [];
  /** @type {Promise<unknown>} files that are being closed */
  #closing = Promise.resolve();

  /** @param {Library} trtc @param {RecorderOptions} [options] */
  constructor(trtc, options = {}) {
    this.#trtc = trtc;
    this.#options = options;
  }

  /** How long it has recorded. */
  get elapsedMs() {
    return this.#mix ? (this.#mix.now - this.#began) * 1000 : 0;
  }

  /**
   * Begin. Rejects with INVALID_OPERATION (it runs already), ENV_NOT_SUPPORTED, or OPERATION_FAILED (`reason`
   * "needs_click": the browser lets no sound run before a click in the page; "no_sound_output": it does not after one
   * either, as Firefox without any loudspeaker; "write_failed", "disk_full").
   * @param {{name?: string, folder?: FileSystemDirectoryHandle | null}} [where] the files' name, without an ending;
   *   `folder` from `showDirectoryPicker()`; without it files go to the downloads when they are whole
   */
  async start({ name = 'call', folder = null } = {}) {
    const type = typeOf();
    if (!type) throw unsupported('recording: this browser has no MediaRecorder');
    if (this.state !== 'off') throw misuse('recording: it runs already');
    this.#set('starting');
    this.#name = name;
    this.#folder = folder;
    this.#files = [];
    try {
      this.#mix = new Mix();
      if (!(await this.#mix.start(CLICK_WAIT_MS))) {
        throw navigator.userActivation?.hasBeenActive
          ? new RtcError(ERROR_CODE.OPERATION_FAILED, 'recording: the browser finds no sound output', { reason: 'no_sound_output' })
          : new RtcError(ERROR_CODE.OPERATION_FAILED, 'recording: the browser wants a click in the page first', { reason: 'needs_click' });
      }
      const { width = 1280, height = 720, frameRate = 15, background = '#12161c' } = this.#options;
      this.#screen = new Screen(width, height, background, (part) => this.#trackOf(part));
      const [picture] = this.#screen.canvas.captureStream(frameRate).getVideoTracks();
      this.#stream = new MediaStream([picture, this.#mix.track]);
      this.#began = this.#mix.now;
      this.#look();
      this.#slice = await this.#open(type);
      this.#sliceBegan = this.#began = this.#mix.now;
      this.#mix.every(1 / frameRate, () => this.#beat(type));
    } catch (error) {
      this.#close();
      this.#set('off');
      throw error instanceof RtcError
        ? error
        : new RtcError(ERROR_CODE.OPERATION_FAILED, String(/** @type {any} */ (error)?.message ?? error), { reason: 'write_failed', cause: error });
    }
    this.#set('on');
  }

  /** End it; resolves to the files when they are whole. @returns {Promise<Written[]>} */
  async stop() {
    if (this.state !== 'on') throw misuse('recording: it does not run');
    this.#set('stopping');
    const lasted = this.#lasted();
    await this.#closing;
    if (this.#slice) await this.#finish(this.#slice, lasted);
    this.#close();
    this.#set('off');
    return this.#files;
  }

  // --- a picture, a file

  /** @param {string} type */
  #beat(type) {
    if (!this.#mix || !this.#screen) return;
    this.#screen.draw(this.#parts());
    if (this.#mix.now - this.#looked < LOOK_S) return;
    this.#look();
    if (this.state === 'on' && !this.#turning && (this.#lasted() >= (this.#options.sliceMs ?? SLICE_MS) || this.#slice?.full)) {
      void this.#turn(type);
    }
  }

  /** Begin the next file, then end this one: nothing is missing between them. @param {string} type */
  async #turn(type) {
    this.#turning = true;
    const old = this.#slice;
    try {
      const next = await this.#open(type);
      if (this.state !== 'on') return void (await next.finish(0)); // stopped meanwhile
      const lasted = this.#lasted();
      this.#slice = next;
      this.#sliceBegan = this.#mix?.now ?? 0;
      if (old) this.#closing = this.#closing.then(() => this.#finish(old, lasted));
    } catch (error) {
      this.#failed(new RtcError(ERROR_CODE.OPERATION_FAILED, String(error), { reason: 'write_failed', cause: error }));
    } finally {
      this.#turning = false;
    }
  }

  /** @param {string} type @returns {Promise<Slice>} */
  async #open(type) {
    const { bitrate = 1800 } = this.#options;
    const sink = await openSink(`${this.#name}_${stamp(new Date())}.${Recorder.format}`, this.#folder);
    if (!this.#stream) {
      await sink.drop();
      throw misuse('recording: it has ended');
    }
    return new Slice(this.#stream, type, bitrate * 1000, sink, (error) => this.#failed(error));
  }

  /** @param {Slice} slice @param {number} ms */
  async #finish(slice, ms) {
    try {
      const written = await slice.finish(ms);
      if (!written) return;
      this.#files.push(written);
      if (written.file) download(written.file, written.name);
      this.#options.written?.(written);
    } catch (error) {
      log.warn('a recording could not be closed', error);
      this.#options.failed?.(new RtcError(ERROR_CODE.OPERATION_FAILED, String(error), { reason: 'write_failed', cause: error }));
    }
  }

  #lasted() {
    return this.#mix ? (this.#mix.now - this.#sliceBegan) * 1000 : 0;
  }

  /** @param {RtcError} error */
  #failed(error) {
    if (this.state !== 'on') return;
    log.warn('the recording has failed', error);
    void this.stop()
      .catch(() => undefined)
      .then(() => this.#options.failed?.(error));
  }

  // --- who is seen and heard

  #parts() {
    const { pictures, width = 1280, height = 720 } = this.#options;
    if (pictures) return pictures(width, height);
    const shown = (this.#trtc.getRoom()?.streams ?? []).filter(({ video }) => video);
    const own = ['main', 'sub'].filter((streamType) => this.#trtc.getVideoTrack({ streamType: /** @type {any} */ (streamType) }));
    const parts = [
      ...own.map((streamType) => ({ userId: '', streamType, whole: streamType === 'sub' })),
      ...shown.map(({ userId, stream, videoMuted }) => ({
        userId, name: userId, streamType: stream === 'aux' ? 'sub' : 'main', whole: stream === 'aux', pictured: !videoMuted,
      })),
    ];
    const boxes = grid(parts.length, width, height);
    return /** @type {Part[]} */ (parts.map((part, index) => ({ ...part, ...boxes[index] })));
  }

  /** @param {Part} part */
  #trackOf({ userId, streamType }) {
    const track = this.#trtc.getVideoTrack({ userId, streamType });
    return track?.readyState === 'live' ? track : null;
  }

  /** Hear whoever is there now. */
  #look() {
    this.#looked = this.#mix?.now ?? 0;
    const whose = [
      { processed: true },
      { streamType: 'sub' },
      ...(this.#trtc.getRoom()?.streams ?? []).map(({ userId, stream }) => ({ userId, streamType: stream === 'aux' ? 'sub' : 'main' })),
    ];
    const tracks = whose.map((who) => this.#trtc.getAudioTrack(/** @type {any} */ (who)));
    this.#mix?.set(new Set(/** @type {MediaStreamTrack[]} */ (tracks.filter((track) => track !== null))));
  }

  // --- the state

  #close() {
    this.#screen?.close();
    this.#stream?.getVideoTracks()[0]?.stop();
    this.#mix?.close();
    this.#slice = this.#stream = this.#screen = this.#mix = null;
  }

  /** @param {RecorderState} state */
  #set(state) {
    this.state = state;
    this.#options.changed?.();
  }
}

function typeOf() {
  if (typeof MediaRecorder !== 'function' || typeof AudioContext !== 'function') return '';
  if (!('captureStream' in HTMLCanvasElement.prototype)) return '';
  return TYPES.find((type) => MediaRecorder.isTypeSupported(type)) ?? '';
}

/** @param {Date} date @returns {string} as in 2018-05-04-21-52-02 */
function stamp(date) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())];
  return [...day, two(date.getHours()), two(date.getMinutes()), two(date.getSeconds())].join('-');
}
