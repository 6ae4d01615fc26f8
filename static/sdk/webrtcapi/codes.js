// @ts-check
/** Errors as pages of 2018 know them: numbers and shape stand in webrtcapi.js, where pages may ask for them at once. */

/** @typedef {{errorCode: number, errorMsg: string, extInfo?: unknown}} Failure */

export const CODE = WebRTCAPI.ERROR_CODE;
export const failure = WebRTCAPI.failure;

/**
 * Why a room could not be entered, or not again.
 * @param {any} error an RtcError
 */
export function entryCode({ code, reason }) {
  if (reason === 'bad_ticket') return CODE.TLS_VERIFY_ERROR;
  if (code === 5000) return CODE.PARAM_MISSING;
  if (code === 5200) return CODE.NOT_SUPPORT;
  if (code === 5500) return CODE.INIT_WS_FAILED;
  return CODE.ENTER_ROOM_ERROR;
}
