// @ts-check
/**
 * Bytes that travel inside the pictures (SEI_MESSAGE), where the browser lets a worker see encoded pictures
 * (RTCRtpScriptTransform) and they are H.264. Only if `TRTC.create({enableSEI: true})` asks for it.
 */

import { bytes } from './checks.js';
import { ERROR_CODE, RtcError, invalid, misuse, unsupported } from './errors.js';
import { EVENT } from './names.js';

/** @typedef {import('./peers.js').Stream} Stream */

const MOST_BYTES = 1024;
const A_SECOND = 30;
const BYTES_A_SECOND = 8192;
const USUAL_TYPE = 243;

export class Sei {
  #enabled;
  #emit;
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Map<Stream, {sender: RTCRtpSender, port: MessagePort}>} */
  #senders = new Map();
  /** @type {WeakMap<RTCRtpReceiver, import('./peers.js').Slot | null>} */
  #owners = new WeakMap();
  /** @type {{at: number, bytes: number}[]} of the last second */
  #sent = [];

  /**
   * @param {boolean} enabled
   * @param {(event: string, detail: object) => void} emit
   */
  constructor(enabled, emit) {
    this.#enabled = enabled;
    this.#emit = emit;
  }

  static get supported() {
    return 'RTCRtpScriptTransform' in globalThis;
  }

  /**
   * @param {RTCRtpSender} sender
   * @param {Stream} stream
   * @param {'audio' | 'video'} kind
   */
  sender(sender, stream, kind) {
    if (kind !== 'video' || !this.#enabled || !Sei.supported) return;
    this.#senders.set(stream, { sender, port: this.#transform(sender, true) });
  }

  /**
   * A new receiver. A browser takes a transform only in the very moment that a track begins, before it is known whose.
   * @param {RTCRtpReceiver} receiver
   */
  receiver(receiver) {
    if (receiver.track.kind !== 'video' || !this.#enabled || !Sei.supported || this.#owners.has(receiver)) return;
    this.#owners.set(receiver, null);
    this.#transform(receiver, false).onmessage = ({ data }) => {
      const owner = this.#owners.get(receiver);
      if (!owner) return;
      const streamType = owner.stream === 'aux' ? 'sub' : 'main';
      this.#emit(EVENT.SEI_MESSAGE, { data: data.payload, userId: owner.userId, streamType, seiPayloadType: data.type });
    };
  }

  /**
   * Whose pictures a receiver gets from now on.
   * @param {RTCRtpReceiver} receiver
   * @param {import('./peers.js').Slot} slot
   */
  owner(receiver, slot) {
    if (this.#owners.has(receiver)) this.#owners.set(receiver, slot);
  }

  /**
   * @param {ArrayBuffer} buffer
   * @param {Stream} stream
   * @param {number} [type]
   */
  send(buffer, stream, type = USUAL_TYPE) {
    const payload = bytes(buffer, MOST_BYTES);
    if (type !== USUAL_TYPE && type !== 5) throw invalid('seiPayloadType: 243 or 5', 5005);
    if (!this.#enabled) throw misuse('sendSEIMessage: it needs TRTC.create({ enableSEI: true })', 5108);
    if (!Sei.supported) throw unsupported('this browser lets nobody write into encoded pictures', 5207);
    const to = this.#senders.get(stream);
    if (!to?.sender.track || to.sender.transport?.state !== 'connected') throw misuse('sendSEIMessage: send a picture first', 5109);
    const codec = to.sender.getParameters().codecs?.[0]?.mimeType ?? '';
    if (!/h264/i.test(codec)) throw unsupported(`SEI messages travel in H.264, and this picture is sent as ${codec || 'something else'}`, 5207);
    this.#count(payload.length);
    const copy = payload.slice().buffer;
    to.port.postMessage({ type, payload: copy }, [copy]);
  }

  close() {
    this.#worker?.terminate();
    this.#worker = null;
  }

  /** @param {number} length */
  #count(length) {
    const now = performance.now();
    this.#sent = this.#sent.filter(({ at }) => now - at < 1000);
    const total = this.#sent.reduce((sum, one) => sum + one.bytes, 0);
    if (this.#sent.length >= A_SECOND || total + length > BYTES_A_SECOND) {
      const message = `SEI messages: at most ${A_SECOND} and ${BYTES_A_SECOND} bytes a second`;
      throw new RtcError(ERROR_CODE.OPERATION_FAILED, message, { reason: 'too_many', retryAfterMs: 1000 });
    }
    this.#sent.push({ at: now, bytes: length });
  }

  /**
   * @param {RTCRtpSender | RTCRtpReceiver} end
   * @param {boolean} sends
   */
  #transform(end, sends) {
    this.#worker ??= startWorker(new URL('./sei-worker.js', import.meta.url));
    const { port1, port2 } = new MessageChannel();
    const Transform = /** @type {any} */ (globalThis).RTCRtpScriptTransform;
    /** @type {any} */ (end).transform = new Transform(this.#worker, { sends, port: port2 }, [port2]);
    return port1;
  }
}

/** A browser starts a worker of the page's own origin only; that one may import ours. @param {URL} address */
function startWorker(address) {
  if (address.origin === location.origin) return new Worker(address, { type: 'module' });
  const blob = new Blob([`import ${JSON.stringify(address.href)};`], { type: 'text/javascript' });
  const url = URL.createObjectURL(blob);
  return new Worker(url, { type: 'module' });
}
