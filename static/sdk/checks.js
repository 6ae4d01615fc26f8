// @ts-check
/** What callers give is checked here, before anything happens: INVALID_PARAMETER, with the number of the reason. */

import { invalid } from './errors.js';

/**
 * @typedef {{
 *   sdkAppId?: number, userId: string, userSig: string, privateMapKey?: string, roomId?: number, strRoomId?: string,
 *   scene?: 'rtc' | 'live', role?: 'anchor' | 'audience', nick?: string,
 *   autoReceiveAudio?: boolean, autoReceiveVideo?: boolean, enableAutoPlayDialog?: boolean,
 *   kind?: 'double_room' | 'multi_room' | 'live_room', create?: boolean, roomInfo?: string,
 *   proxy?: unknown, userDefineRecordId?: string, latencyLevel?: number, businessInfo?: string,
 * }} EnterRoomConfig `nick` is ours, and so is the line of `kind`: a room of RoomService, made if `create` is not
 *   false, with `roomInfo` in its lists. Those of the last line are taken and have no effect. Without
 *   `enableAutoPlayDialog` the dialog comes only if nobody listens to AUTOPLAY_FAILED
 */

const LAST_ROOM = 4294967294;
const LONGEST_TEXT_ROOM = 64;

/**
 * @param {EnterRoomConfig} config
 * @returns {Record<string, any>} the fields of `enter`
 */
export function ticket(config) {
  if (typeof config !== 'object' || config === null) throw invalid('enterRoom: its parameters are needed', 5001);
  const { sdkAppId, userId, userSig, privateMapKey, nick, scene = 'rtc', role = 'anchor' } = config;
  text('userId', userId);
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(userId)) throw invalid('userId: 1 to 32 of A-Z a-z 0-9 _ - are needed', 5005);
  text('userSig', userSig);
  if (sdkAppId !== undefined && !Number.isInteger(sdkAppId)) throw invalid('sdkAppId: a whole number is needed', 5002);
  for (const [name, value] of Object.entries({ privateMapKey, nick })) {
    if (value !== undefined && value !== null && typeof value !== 'string') throw invalid(`${name}: a text is needed`, 5002);
  }
  oneOf('scene', scene, ['rtc', 'live']);
  const { kind, create, roomInfo } = config;
  if (kind !== undefined) oneOf('kind', kind, ['double_room', 'multi_room', 'live_room']);
  if (roomInfo !== undefined && typeof roomInfo !== 'string') throw invalid('roomInfo: a text is needed', 5002);
  oneOf('role', role, ['anchor', 'audience']);
  return {
    userId,
    userSig,
    ...(privateMapKey && { privateMapKey }),
    ...(sdkAppId && { sdkAppId }),
    ...(nick && { nick }),
    role,
    ...(kind && { kind, create: create !== false, ...(roomInfo && { roomInfo }) }),
    ...room(config),
  };
}

/** @param {EnterRoomConfig} config */
function room({ roomId, strRoomId }) {
  if (roomId !== undefined && roomId !== null && /** @type {any} */ (roomId) !== 0) {
    if (typeof roomId !== 'number') throw invalid('roomId: a number is needed; for a text there is strRoomId', 5016);
    if (!Number.isInteger(roomId) || roomId < 1 || roomId > LAST_ROOM) throw invalid(`roomId: 1 to ${LAST_ROOM}`, 5012);
    return { roomId };
  }
  if (strRoomId === undefined || strRoomId === null || strRoomId === '') throw invalid('roomId or strRoomId is needed', 5015);
  if (typeof strRoomId !== 'string' || new TextEncoder().encode(strRoomId).length > LONGEST_TEXT_ROOM) {
    throw invalid(`strRoomId: a text of at most ${LONGEST_TEXT_ROOM} bytes is needed`, 5013);
  }
  return { strRoomId };
}

/**
 * @param {string} name
 * @param {unknown} value
 */
export function text(name, value) {
  if (value === undefined || value === null) throw invalid(`${name} is needed`, 5001);
  if (typeof value !== 'string') throw invalid(`${name}: a text is needed`, 5002);
  if (value === '') throw invalid(`${name} is empty`, 5003);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {string[]} allowed
 */
export function oneOf(name, value, allowed) {
  if (!allowed.includes(/** @type {string} */ (value))) throw invalid(`${name}: one of ${allowed.join(', ')}`, 5005);
}

/**
 * @param {string} name
 * @param {unknown} value
 */
export function percentage(name, value) {
  if (typeof value !== 'number' || Number.isNaN(value)) throw invalid(`${name}: a number is needed`, 5002);
  if (value < 0) throw invalid(`${name}: 0 to 100`, 5006);
  if (value > 100) throw invalid(`${name}: 0 to 100`, 5008);
}

/**
 * @param {unknown} data
 * @param {number} most bytes
 * @returns {Uint8Array}
 */
export function bytes(data, most) {
  const buffer = ArrayBuffer.isView(data) ? data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) : data;
  if (!(buffer instanceof ArrayBuffer)) throw invalid('data: an ArrayBuffer is needed', 5002);
  if (buffer.byteLength === 0) throw invalid('data is empty', 5017);
  if (buffer.byteLength > most) throw invalid(`data: at most ${most} bytes`, 5018);
  return new Uint8Array(buffer);
}
