// @ts-check
/**
 * Errors of the library: one class, codes as TRTC v5 numbers them, a message in words.
 *
 * `code` says the kind, `extraCode` the cause: 5001-5018 for a parameter, 5101-5109 for a state, 5201-5207 for what the
 * browser lacks, 5301-5309 for a device, 5501-5502 for a connection; for a refusal the server's own number
 * (docs/protocol.md). `name` of the cause (`bad_ticket`, `room_full`, `NotAllowedError`, ...) is in `reason`.
 */

/** @enum {number} */
export const ERROR_CODE = Object.freeze({
  INVALID_PARAMETER: 5000,
  INVALID_OPERATION: 5100,
  ENV_NOT_SUPPORTED: 5200,
  DEVICE_ERROR: 5300,
  SERVER_ERROR: 5400,
  OPERATION_FAILED: 5500,
  OPERATION_ABORT: 5998,
  UNKNOWN_ERROR: 5999,
});

export class RtcError extends Error {
  /**
   * @param {number} code one of ERROR_CODE
   * @param {string} message
   * @param {{extraCode?: number, reason?: string, retryAfterMs?: number, cause?: unknown}} [more]
   */
  constructor(code, message, more = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'RtcError';
    this.code = code;
    this.extraCode = more.extraCode ?? 0;
    this.reason = more.reason ?? '';
    this.retryAfterMs = more.retryAfterMs ?? 0;
  }
}

/** @type {Record<string, [number, string]>} */
const DEVICE_WORDS = {
  NotFoundError: [5301, 'no such device is connected'],
  NotAllowedError: [5302, 'permission was denied'],
  NotReadableError: [5303, 'the device is in use by another program or broken'],
  OverconstrainedError: [5304, 'the device cannot do what was asked of it'],
  InvalidStateError: [5305, 'the page is not active'],
  SecurityError: [5306, 'the browser forbids it here'],
  AbortError: [5307, 'the device failed'],
};

/**
 * Say why getUserMedia or getDisplayMedia failed.
 * @param {string} what "camera", "microphone" or "screen"
 * @param {unknown} error
 */
export function deviceError(what, error) {
  if (error instanceof RtcError) return error;
  const name = error instanceof Error || error instanceof DOMException ? error.name : '';
  const [extraCode, words] = DEVICE_WORDS[name] ?? [0, String(error)];
  return new RtcError(ERROR_CODE.DEVICE_ERROR, `${what}: ${words}`, { extraCode, reason: name, cause: error });
}

/**
 * A refusal by the server.
 * @param {{code: number, name: string, message: string, retryAfterMs?: number}} error
 */
export function serverError(error) {
  return new RtcError(ERROR_CODE.SERVER_ERROR, error.message || error.name, {
    extraCode: error.code,
    reason: error.name,
    retryAfterMs: error.retryAfterMs,
  });
}

/**
 * A parameter that is not as it must be.
 * @param {string} message
 * @param {number} [extraCode]
 */
export const invalid = (message, extraCode = 0) => new RtcError(ERROR_CODE.INVALID_PARAMETER, message, { extraCode });

/**
 * A call that does not fit the present state.
 * @param {string} message
 * @param {number} [extraCode]
 */
export const misuse = (message, extraCode = 0) => new RtcError(ERROR_CODE.INVALID_OPERATION, message, { extraCode });

/** @param {string} call that was overtaken by its opposite */
export const aborted = (call) => new RtcError(ERROR_CODE.OPERATION_ABORT, `${call} was given up: its opposite was called meanwhile`);

/**
 * What this browser, or this library, cannot do.
 * @param {string} message
 * @param {number} [extraCode]
 */
export const unsupported = (message, extraCode = 0) => new RtcError(ERROR_CODE.ENV_NOT_SUPPORTED, message, { extraCode });

/** @param {unknown} error whether the connection was lost under it: the session comes back and does it again */
export const isLost = (error) => error instanceof RtcError && ['lost', 'timeout'].includes(error.reason);
