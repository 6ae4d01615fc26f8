// @ts-check
/**
 * Tickets for a guest of a development server, from the old room service that hands them to guests.
 */

/**
 * @typedef {{userId: string, sdkAppId: number, userSig: string, privateMapKey: string}} Tickets
 */

/** A refusal; `reason` is `no_guests`, `bad_name`, `room_missing`, `room_full`, `refused` or `unreachable`. */
class GuestError extends Error {
  /**
   * @param {string} reason
   * @param {string} message
   */
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

/**
 * @param {string} room
 * @param {string} wanted the user id; `_2`, `_3`, … is added if somebody has it
 * @returns {Promise<Tickets>}
 */
export async function guestTickets(room, wanted) {
  const user = await freeName(room, wanted);
  const login = await call('get_login_info', { userID: user });
  const entry = await call('enter_room', { userID: login.userID, roomID: room });
  sessionStorage.setItem(`user ${room} ${wanted}`, login.userID);
  return {
    userId: login.userID,
    sdkAppId: Number(login.sdkAppID),
    userSig: login.userSig,
    privateMapKey: entry.privateMapKey,
  };
}

/**
 * @param {string} room
 * @param {string} wanted
 */
async function freeName(room, wanted) {
  const mine = sessionStorage.getItem(`user ${room} ${wanted}`); // a reload keeps its name
  if (mine) return mine;
  const { members } = await call('get_room_members', { roomID: room });
  const taken = new Set(members.map((/** @type {{userID: string}} */ member) => member.userID));
  if (!taken.has(wanted)) return wanted;
  for (let number = 2; ; number++) if (!taken.has(`${wanted}_${number}`)) return `${wanted}_${number}`;
}

/**
 * @param {string} name
 * @param {object} body
 * @returns {Promise<any>}
 */
async function call(name, body) {
  let answer;
  try {
    const response = await fetch(new URL(`/webrtc/weapp/webrtc_room/${name}`, import.meta.url), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    answer = await response.json();
  } catch (error) {
    throw new GuestError('unreachable', String(error));
  }
  if (answer.code === 0) return answer;
  if (answer.code === 4001) throw new GuestError('no_guests', answer.message);
  if (answer.code === 3) throw new GuestError('room_missing', /** @type {any} */ (body).roomID ?? '');
  if (answer.code === 7) throw new GuestError('bad_name', answer.message);
  if (answer.code === 5001) throw new GuestError('room_full', answer.message);
  throw new GuestError('refused', answer.message);
}
