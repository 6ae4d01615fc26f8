// @ts-check
/** Runs beside the page: writes waiting SEI messages into pictures that leave, and reads them from those that come. */

import { insert, messages, seiUnit } from './sei-nal.js';

/**
 * @typedef {{write: (frame: EncodedFrame) => void}} Sink
 * @typedef {{data: ArrayBuffer, getMetadata: () => {mimeType?: string}}} EncodedFrame
 */

const worker = /** @type {any} */ (globalThis);
/** Ours and the cloud's own, and "user data unregistered", which begins with a UUID. */
const TYPES = new Set([243, 5]);
/** A picture carries one message, and two seconds of them wait at most. */
const WAITING = 60;

worker.onrtctransform = (/** @type {any} */ event) => {
  const { readable, writable, options } = event.transformer;
  const transform = options.sends ? sending(options.port) : receiving(options.port);
  readable.pipeThrough(new TransformStream({ transform })).pipeTo(writable).catch(() => undefined); // ends with its connection
};

/** @param {MessagePort} port */
function sending(port) {
  /** @type {Uint8Array[]} */
  const waiting = [];
  port.onmessage = ({ data }) => {
    if (waiting.length < WAITING) waiting.push(seiUnit(data.type, new Uint8Array(data.payload)));
  };
  return (/** @type {EncodedFrame} */ frame, /** @type {TransformStreamDefaultController} */ out) => {
    const unit = waiting[0];
    const written = unit && insert(new Uint8Array(frame.data), [unit]);
    if (written) {
      waiting.shift();
      frame.data = /** @type {ArrayBuffer} */ (written.buffer);
    }
    out.enqueue(frame);
  };
}

/** @param {MessagePort} port */
function receiving(port) {
  return (/** @type {EncodedFrame} */ frame, /** @type {TransformStreamDefaultController} */ out) => {
    for (const { type, payload } of messages(new Uint8Array(frame.data), TYPES)) {
      port.postMessage({ type, payload: payload.buffer }, [payload.buffer]);
    }
    out.enqueue(frame);
  };
}
