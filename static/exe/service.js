// @ts-check
/** What RoomService tells a page before it enters: a login for guests of a development server, and the rooms there are. */

import { GuestError } from '../guest.js';

/**
 * @typedef {import('./parameters.js').Kind} Kind
 * @typedef {{userId: string, sdkAppId: number, userSig: string}} Login
 * @typedef {{kind: Kind, room: string, name: string, people: string[]}} Listed
 */

const BASE = '/roomservice/weapp';
const LISTED = 20;
/** @type {Kind[]} */
const KINDS = ['live_room', 'multi_room', 'double_room'];

/**
 * A userSig for a guest. Rejects with GuestError `no_guests` where tickets are needed.
 * @param {string} userId '' for a name that the server makes
 * @returns {Promise<Login>}
 */
export async function guestLogin(userId) {
  const answer = await call('utils/get_login_info', userId ? { userID: userId } : {}, {});
  return { userId: answer.userID, sdkAppId: Number(answer.sdkAppID), userSig: answer.userSig };
}

/**
 * The rooms that have people in them. The login's userSig goes into a query here, as this service has it; the server
 * logs no query.
 * @param {Login} login
 * @returns {Promise<Listed[]>}
 */
export async function listRooms({ userId, sdkAppId, userSig }) {
  const query = { sdkAppID: String(sdkAppId), accountType: '0', userID: userId, userSig };
  const { token } = await call('live_room/login', query, {});
  const lists = await Promise.all(
    KINDS.map(async (kind) => {
      const { rooms } = await call(`${kind}/get_room_list`, { userID: userId, token }, { cnt: LISTED, index: 0 });
      return rooms.map((/** @type {any} */ { roomID, roomInfo, pushers }) => ({
        kind,
        room: String(roomID),
        name: String(roomInfo || roomID),
        people: pushers.map((/** @type {any} */ one) => one.userName || one.userID),
      }));
    }),
  );
  return lists.flat();
}

/**
 * @param {string} name
 * @param {Record<string, string>} query
 * @param {object} body
 * @returns {Promise<any>}
 */
async function call(name, query, body) {
  let answer;
  try {
    const response = await fetch(`${BASE}/${name}?${new URLSearchParams(query)}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    answer = await response.json();
  } catch (error) {
    throw new GuestError('unreachable', String(error));
  }
  if (answer.code === 0) return answer;
  if (answer.code === 4001) throw new GuestError('no_guests', answer.message);
  throw new GuestError('refused', answer.message);
}
