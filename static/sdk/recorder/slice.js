// @ts-check
/** One file of a recording: the browser's encoder, and what it makes on its way to the disk, within bounds. */

import { ERROR_CODE, RtcError } from '../errors.js';
import { durationElement, leaveHole } from './webm.js';

/** @typedef {import('./files.js').Sink} Sink @typedef {import('./files.js').Written} Written */

const PIECE_MS = 1000;
/** Bytes that may wait for a slow disk. */
const WAITING = 64 * 2 ** 20;
const SOUND_BITRATE = 128_000;

export class Slice {
  bytes = 0;
  #sink;
  #recorder;
  #failed;
  #stopped;
  #isWebm;
  #waiting = 0;
  /** @type {Promise<void>} */
  #queue = Promise.resolve();
  /** @type {{at: number, unitMs: number} | null} */
  #hole = null;
  #broken = false;

  /**
   * @param {MediaStream} stream
   * @param {string} type
   * @param {number} bitrate of the picture, bit/s
   * @param {Sink} sink
   * @param {(error: RtcError) => void} failed called once; what was written until then is kept by `finish`
   */
  constructor(stream, type, bitrate, sink, failed) {
    this.#sink = sink;
    this.#failed = failed;
    this.#isWebm = type.includes('webm');
    this.#recorder = new MediaRecorder(stream, {
      mimeType: type, videoBitsPerSecond: bitrate, audioBitsPerSecond: SOUND_BITRATE,
    });
    this.#recorder.ondataavailable = ({ data }) => data.size && this.#take(data);
    this.#recorder.onerror = (event) => this.#fail('encoder_failed', /** @type {any} */ (event).error);
    this.#stopped = new Promise((resolve) => (this.#recorder.onstop = resolve));
    this.#recorder.start(PIECE_MS);
  }

  /** Whether the file should end here and another begin. */
  get full() {
    return this.bytes + 2 * WAITING > this.#sink.most;
  }

  /**
   * End the file.
   * @param {number} ms its length
   * @returns {Promise<Written | null>} null: there is nothing of it
   */
  async finish(ms) {
    if (this.#recorder.state !== 'inactive') this.#recorder.stop();
    await this.#stopped;
    await this.#queue;
    if (!this.bytes) {
      await this.#sink.drop();
      return null;
    }
    if (this.#hole) await this.#sink.patch(this.#hole.at, durationElement(ms, this.#hole.unitMs)).catch(() => undefined);
    return this.#sink.close();
  }

  /** @param {Blob} piece */
  #take(piece) {
    if (this.#broken) return;
    this.#waiting += piece.size;
    if (this.#waiting > WAITING) return this.#fail('disk_slow', null);
    this.#queue = this.#queue.then(() => this.#write(piece)).catch((error) => this.#fail(nameOf(error), error));
  }

  /** @param {Blob} piece */
  async #write(piece) {
    if (this.#broken) return;
    /** @type {Blob | Uint8Array} */
    let data = piece;
    if (!this.bytes && this.#isWebm) {
      this.#hole = null;
      const head = leaveHole(new Uint8Array(await piece.arrayBuffer()));
      if (head) {
        data = head.bytes;
        this.#hole = head;
      }
    }
    await this.#sink.write(/** @type {any} */ (data));
    this.bytes += piece.size;
    this.#waiting -= piece.size;
  }

  /** @param {string} reason @param {unknown} cause */
  #fail(reason, cause) {
    if (this.#broken) return;
    this.#broken = true;
    const message = cause instanceof Error || cause instanceof DOMException ? cause.message : reason;
    this.#failed(new RtcError(ERROR_CODE.OPERATION_FAILED, message, { reason, cause }));
  }
}

/** @param {any} error */
const nameOf = (error) => (error?.name === 'QuotaExceededError' ? 'disk_full' : 'write_failed');
