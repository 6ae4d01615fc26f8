/**
 * Rooms for calls (`double_room`, `multi_room`), by the names and callbacks of the vendor's module of 2018.
 *
 *     login ──▶ [createRoom] ──▶ getPushURL ──▶ live-pusher, 1002 ──▶ enterRoom ──▶ exitRoom
 *
 * Each call takes `{data, success, fail}`; `fail` gets `{errCode, errMsg}`.
 */

const { ERROR, NOT_PUSHER, RoomClient, answers, safely } = require('./roomclient.js');

/**
 * @typedef {import('./roomclient.js').Options} Options
 * @typedef {import('./roomclient.js').RoomPusher} RoomPusher
 * @typedef {{
 *   onGetPusherList?: (list: { pushers: RoomPusher[] }) => void,
 *   onPusherJoin?: (list: { pushers: RoomPusher[] }) => void,
 *   onPusherQuit?: (list: { pushers: RoomPusher[] }) => void,
 *   onRoomClose?: (nothing: {}) => void,
 *   onRecvRoomTextMsg?: (message: { roomID: string, userID: string, nickName: string, headPic: string, textMsg: string,
 *     time: string }) => void,
 *   onKickOut?: (why: { roomID: string, reason: string }) => void,
 * }} Listeners `onKickOut` is ours: removed from the room, or the same user has logged in elsewhere
 */

/** @type {Listeners} */
let on = {};

const client = new RoomClient({
  entered(pushers, first) {
    // Pages of some releases know one of the two only.
    if (first && on.onGetPusherList) safely(on.onGetPusherList, { pushers });
    else if (pushers.length) safely(on.onPusherJoin, { pushers });
  },
  left: (pushers) => safely(on.onPusherQuit, { pushers }),
  dropped: (failure) => client.remove(failure.errMsg),
  changed: () => client.refresh(),
  said({ kind, userID, userName, userAvatar, text, time }) {
    if (kind !== 'text' && kind !== 'tip') return;
    const { roomID } = client.room;
    const message = { roomID, userID, nickName: userName, headPic: userAvatar, textMsg: text, time };
    safely(on.onRecvRoomTextMsg, message);
  },
  closed: () => safely(on.onRoomClose, {}),
  removed: (reason) => safely(on.onKickOut, { roomID: '', reason }),
});

/** @param {Listeners} listeners */
function setListener(listeners) {
  on = listeners || {};
}

/** @param {Options} options data: roomInfo */
function createRoom(options) {
  const { succeed, fail } = answers(options);
  const { roomInfo = '' } = (options && options.data) || {};
  const stay = client.enter({ roomInfo: String(roomInfo) });
  client.call('create_room', { userID: client.account.userID, roomInfo: String(roomInfo) }, (failure, answer) => {
    // Left meanwhile: the room goes by itself, for nobody has entered it.
    if (stay !== client.stay) return;
    if (failure) {
      client.leave();
      fail(failure);
      return;
    }
    Object.assign(client.room, { roomID: String(answer.roomID), roomCreator: client.account.userID });
    succeed({ roomID: client.room.roomID });
  });
}

/** Become a pusher; a room that is not there is made. @param {Options} options data: roomID, pushURL, roomInfo */
function enterRoom(options) {
  const { succeed, fail } = answers(options);
  const { roomID, pushURL, roomInfo = '' } = (options && options.data) || {};
  if (!roomID || !pushURL) {
    fail({ errCode: ERROR.PARAMETERS, errMsg: 'enterRoom: roomID and pushURL are needed' });
    return;
  }
  const stay = client.enter({ roomID: String(roomID), roomInfo: String(roomInfo || '') });
  const failed = (/** @type {import('./roomclient.js').Failure} */ failure) => {
    exitRoom({});
    fail(failure);
  };
  client.addPusher(stay, String(pushURL), (refused) => {
    if (refused) {
      client.leave();
      fail(refused);
      return;
    }
    client.joinGroup(stay, (failure) => {
      if (failure) {
        failed(failure);
        return;
      }
      // Asked for after the group was joined: nobody can come between the two unnoticed.
      client.call('get_pushers', { roomID: client.room.roomID }, (unknown, answer) => {
        if (stay !== client.stay) return;
        if (unknown) client.refresh();
        else client.listed(answer, true);
        succeed({});
      });
    });
  });
}

/** Stop pushing, leave the group. @param {Options} [options] */
function exitRoom(options) {
  const { succeed, fail } = answers(options);
  const { roomID } = client.room;
  if (!client.stay || !roomID) {
    client.leave();
    succeed({});
    return;
  }
  // Who was none yet, or no more, has left all the same.
  client.deletePusher((failure) => (failure && failure.errCode !== NOT_PUSHER ? fail(failure) : succeed({})));
  client.leave();
}

/** @param {Options} options data: roomID */
function getPushers(options) {
  const { succeed, fail } = answers(options);
  const { roomID = client.room.roomID } = (options && options.data) || {};
  client.call('get_pushers', { roomID: String(roomID) }, (failure, answer) => {
    if (failure) {
      fail(failure);
      return;
    }
    const { roomInfo, roomCreator, mixedPlayURL } = answer;
    const pushers = answer.pushers.filter((/** @type {RoomPusher} */ { userID }) => userID !== client.account.userID);
    succeed({ roomID: answer.roomID, roomInfo, roomCreator, mixedPlayURL, pushers });
  });
}

/** The room, its pushers without us. */
function getRoomInfo() {
  const { room, account } = client;
  return Object.assign({}, room, { pushers: room.pushers.filter(({ userID }) => userID !== account.userID) });
}

module.exports = {
  login: (/** @type {Options} */ options) => client.login(options),
  logout: () => client.logout(),
  getRoomList: (/** @type {Options} */ options) => client.getRoomList(options),
  getPushURL: (/** @type {Options} */ options) => client.getPushURL(options),
  createRoom,
  getPushers,
  enterRoom,
  exitRoom,
  sendRoomTextMsg: (/** @type {Options} */ options) => client.sendRoomTextMsg(options),
  setListener,
  getAccountInfo: () => client.account,
  getRoomInfo,
};
