// @ts-check
/**
 * What the room service of 2018 gives to guests of a development server: tickets, and which rooms there are.
 */

/**
 * @typedef {{userId: string, sdkAppId: number, userSig: string, privateMapKey: string}} Tickets
 * @typedef {{room: string, info: string, members: {userId: string, nick: string}[]}} ListedRoom
 */

/** A refusal; `reason` is `no_guests`, `bad_name`, `room_missing`, `room_full`, `refused` or `unreachable`. */
export class GuestError extends Error {
  /**
   * @param {string} reason
   * @param {string} message
   */
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

/** Names that a guest may have. */
const NAME = /^[a-zA-Z][a-zA-Z0-9_]{3,23}$/;
const LISTED = 12;

/**
 * @param {string} room
 * @param {string} wanted the user id; `_2`, `_3`, … is added if somebody has it
 * @returns {Promise<Tickets>}
 */
export async function guestTickets(room, wanted) {
  const user = await freeName(room, wanted);
  const login = await call('get_login_info', { userID: user });
  const entry = await call('enter_room', { userID: login.userID, roomID: room });
  keep(room, wanted, login.userID);
  return {
    userId: login.userID,
    sdkAppId: Number(login.sdkAppID),
    userSig: login.userSig,
    privateMapKey: entry.privateMapKey,
  };
}

/**
 * The rooms of this server with who is in them, the newest first as the server lists them.
 * @returns {Promise<ListedRoom[]>}
 */
export async function listRooms() {
  const { rooms } = await call('get_room_list', { index: 0, count: LISTED });
  return Promise.all(
    rooms.map(async (/** @type {{roomID: string, roomInfo: string}} */ { roomID, roomInfo }) => {
      const { members } = await call('get_room_members', { roomID }).catch(() => ({ members: [] }));
      const people = members.map((/** @type {any} */ one) => ({ userId: one.userID, nick: one.nickName || one.userID }));
      return { room: roomID, info: roomInfo, members: people };
    }),
  );
}

/**
 * A new room; the server draws its number.
 * @param {string} userId
 * @param {string} info what the room is about
 * @returns {Promise<string>} its number
 */
export async function openRoom(userId, info) {
  const login = await call('get_login_info', { userID: userId });
  const made = await call('create_room', { userID: login.userID, roomInfo: info });
  keep(made.roomID, userId, login.userID); // whoever makes a room is in it already
  return made.roomID;
}

/**
 * The user id for a name that somebody typed: the name itself where a guest may have it, else what is left of it with
 * letters that nobody else has. Others read the name as it was typed.
 * @param {string} name
 * @param {string} salt of letters and digits, the same at each visit
 */
export function userIdOf(name, salt) {
  if (NAME.test(name)) return name;
  const plain = name.normalize('NFKD').replace(/[^a-zA-Z0-9_]+/g, '').replace(/^[^a-zA-Z]+/, '').slice(0, 16);
  return `${plain || 'user'}_${salt}`;
}

/**
 * @param {string} room
 * @param {string} wanted
 */
async function freeName(room, wanted) {
  const mine = kept(room, wanted); // a reload keeps its name
  if (mine) return mine;
  const { members } = await call('get_room_members', { roomID: room });
  const taken = new Set(members.map((/** @type {{userID: string}} */ member) => member.userID));
  if (!taken.has(wanted)) return wanted;
  for (let number = 2; ; number++) if (!taken.has(`${wanted}_${number}`)) return `${wanted}_${number}`;
}

/**
 * @param {string} room
 * @param {string} wanted
 * @param {string} user
 */
function keep(room, wanted, user) {
  try {
    sessionStorage.setItem(`user ${room} ${wanted}`, user);
  } catch {
    // Then a reload may get another number.
  }
}

/**
 * @param {string} room
 * @param {string} wanted
 */
function kept(room, wanted) {
  try {
    return sessionStorage.getItem(`user ${room} ${wanted}`);
  } catch {
    return null;
  }
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
      signal: AbortSignal.timeout(10_000),
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
