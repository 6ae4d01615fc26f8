/**
 * Live rooms (`live_room`), by the names and callbacks of the vendor's module of 2018.
 *
 *     host:    getPushURL ──▶ live-pusher, 1002 ──▶ createRoom ──▶ exitRoom, which ends the room
 *     viewer:  enterRoom ──▶ [requestJoinPusher ──▶ getPushURL ──▶ 1002 ──▶ joinPusher ──▶ quitPusher] ──▶ exitRoom
 *
 * Each call takes `{data, success, fail}`; `fail` gets `{errCode, errMsg}`.
 */

const { ERROR, RoomClient, answers, safely } = require('./roomclient.js');
const { CMD, LinkMic } = require('./linkmic.js');
const { canvasOf, mergeParams, streamOf } = require('./merge.js');
const { commandBody } = require('./talk.js');

const MERGE_AGAIN_MS = 2000;

/**
 * @typedef {import('./roomclient.js').Options} Options
 * @typedef {import('./roomclient.js').RoomPusher} RoomPusher
 * @typedef {import('./roomclient.js').Failure} Failure
 * @typedef {{ roomID: string, userID: string, userName: string, userAvatar: string, message: string, time: string }} Message
 * @typedef {{
 *   onGetPusherList?: (list: { pushers: RoomPusher[] }) => void,
 *   onPusherJoin?: (list: { pushers: RoomPusher[] }) => void,
 *   onPusherQuit?: (list: { pushers: RoomPusher[] }) => void,
 *   onPushersChange?: () => void,
 *   onRoomClose?: (nothing: {}) => void,
 *   onRecvRoomTextMsg?: (message: Message) => void,
 *   onRecvRoomCustomMsg?: (message: Message & { cmd: string }) => void,
 *   onSketchpadData?: (data: string) => void,
 *   onRecvJoinPusherRequest?: (guest: { userID: string, userName: string, userAvatar: string }) => void,
 *   onKickOut?: (where: { roomID: string }) => void,
 *   onRemoved?: (why: { roomID: string, reason: string }) => void,
 * }} Listeners `onKickOut`: the host has ended our link; `onRemoved` is ours: out of the room, or logged in elsewhere
 */

/** @type {Listeners} */
let on = {};
let canvas = canvasOf(1);
let viewing = false;
/** @type {any} */
let mergeTimer = null;

const client = new RoomClient({
  entered(pushers, first) {
    if (first && on.onGetPusherList) safely(on.onGetPusherList, { pushers });
    else if (pushers.length) safely(on.onPusherJoin, { pushers });
    mix();
  },
  left(pushers) {
    safely(on.onPusherQuit, { pushers });
    mix();
  },
  dropped(failure) {
    const { userID, userName, userAvatar } = client.account;
    if (client.room.roomCreator === userID) client.remove(failure.errMsg);
    else safely(on.onPusherQuit, { pushers: [{ userID, userName, userAvatar, accelerateURL: '' }] });
  },
  changed() {
    safely(on.onPushersChange);
    // Viewers see the mixed picture; only who pushes needs to know the others.
    if (client.pushing) client.refresh();
  },
  said({ kind, userID, userName, userAvatar, text, time, cmd }, own) {
    const message = { roomID: client.room.roomID, userID, userName, userAvatar, message: text, time };
    if (kind === 'command') safely(on.onRecvRoomCustomMsg, Object.assign(message, { cmd }));
    else if (kind !== 'board') safely(on.onRecvRoomTextMsg, message);
    else if (!own) safely(on.onSketchpadData, text);
  },
  asked: (from, cmd, data) => {
    if (cmd === CMD) linkMic.hear(from, data);
  },
  closed() {
    ended();
    safely(on.onRoomClose, {});
  },
  removed(reason) {
    ended();
    safely(on.onRemoved, { roomID: '', reason });
  },
  // A restarted server knows no viewers any more.
  back: () => (viewing ? addAudience() : undefined),
});

const linkMic = new LinkMic(client, {
  request: (guest) => safely(on.onRecvJoinPusherRequest, guest),
  kickout: () => safely(on.onKickOut, { roomID: client.room.roomID }),
});

function ended() {
  viewing = false;
  linkMic.cancel();
  clearTimeout(mergeTimer);
}

/** @param {Listeners} listeners */
function setListener(listeners) {
  on = listeners || {};
}

// --- host

/** The room, its group, and the host in it. @param {Options} options data: roomInfo, pushURL, roomID (ours: its id) */
function createRoom(options) {
  const { succeed, fail } = answers(options);
  const { roomInfo, pushURL, roomID = '' } = (options && options.data) || {};
  if (!roomInfo || !pushURL) {
    fail({ errCode: ERROR.PARAMETERS, errMsg: 'createRoom: roomInfo and pushURL are needed' });
    return;
  }
  ended();
  const stay = client.enter({ roomInfo: String(roomInfo) });
  const { userID } = client.account;
  const failed = (/** @type {Failure} */ failure) => {
    exitRoom({});
    fail(failure);
  };
  const body = Object.assign({ userID, roomInfo: String(roomInfo) }, roomID ? { roomID: String(roomID) } : {});
  client.call('create_room', body, (failure, answer) => {
    if (stay !== client.stay) {
      if (!failure) client.call('destroy_room', { roomID: answer.roomID, userID }, () => {});
      return;
    }
    if (failure) {
      failed(failure);
      return;
    }
    Object.assign(client.room, { roomID: String(answer.roomID), roomCreator: userID });
    client.joinGroup(stay, (alone) => {
      if (alone) failed(alone);
      else joinPusher({ data: { roomID: client.room.roomID, pushURL }, success: succeed, fail: failed });
    });
  });
}

/** The host's mixed picture, after each change of its guests. @param {number} [retries] */
function mix(retries = 1) {
  const { room, account, stay } = client;
  clearTimeout(mergeTimer);
  if (!stay || !client.pushing || room.roomCreator !== account.userID) return;
  const streams = (/** @type {boolean} */ own) =>
    room.pushers.filter(({ userID }) => (userID === account.userID) === own).map((pusher) => streamOf(pusher.accelerateURL));
  const [host] = streams(true);
  if (!host) return;
  const guests = streams(false).filter((stream) => stream !== '');
  const scene = { sdkAppID: account.sdkAppID, host, guests, canvas };
  const params = JSON.stringify(mergeParams(scene, Math.round(Date.now() / 1000)));
  const body = { userID: account.userID, roomID: room.roomID, mergeParams: params };
  client.call('merge_stream', body, (failure, answer) => {
    const good = !failure && !(answer.result && answer.result.code);
    if (good || stay !== client.stay || retries === 0) return;
    clearTimeout(mergeTimer);
    mergeTimer = setTimeout(() => mix(retries - 1), MERGE_AGAIN_MS);
  });
}

/** Of the host's picture: 1 is 9:16, everything else 3:4. @param {number} ratio */
function setVideoRatio(ratio) {
  canvas = canvasOf(ratio);
}

// --- viewer

/** @param {Options} options data: roomID */
function enterRoom(options) {
  const { succeed, fail } = answers(options);
  const { roomID } = (options && options.data) || {};
  if (!roomID) {
    fail({ errCode: ERROR.PARAMETERS, errMsg: 'enterRoom: roomID is needed' });
    return;
  }
  ended();
  const stay = client.enter({ roomID: String(roomID) });
  const failed = (/** @type {Failure} */ failure) => {
    exitRoom({});
    fail(failure);
  };
  client.joinGroup(stay, (alone) => {
    if (alone) {
      failed(alone);
      return;
    }
    client.call('get_pushers', { roomID: client.room.roomID }, (failure, answer) => {
      if (stay !== client.stay) return;
      if (failure) {
        failed(failure);
        return;
      }
      const { roomInfo, roomCreator, mixedPlayURL, pushers = [] } = answer;
      Object.assign(client.room, { roomInfo, roomCreator, mixedPlayURL });
      viewing = true;
      addAudience();
      succeed({ roomID: client.room.roomID, roomCreator, mixedPlayURL, pushers });
    });
  });
}

/** The list of viewers is for people to look at: that it may be full is no matter. */
function addAudience() {
  const { userID, userName, userAvatar } = client.account;
  const userInfo = JSON.stringify({ userName, userAvatar });
  client.call('add_audience', { roomID: client.room.roomID, userID, userInfo }, () => {});
}

// --- who pushes: the host, and guests

/** @param {Options} options data: roomID, pushURL */
function joinPusher(options) {
  const { succeed, fail } = answers(options);
  const { roomID = client.room.roomID, pushURL } = (options && options.data) || {};
  if (!client.stay || !pushURL || String(roomID) !== client.room.roomID) {
    fail({ errCode: ERROR.PARAMETERS, errMsg: 'joinPusher: pushURL, and the roomID of the room that was entered, are needed' });
    return;
  }
  client.addPusher(client.stay, String(pushURL), (failure) => {
    if (failure) {
      fail(failure);
      return;
    }
    succeed({ roomID: client.room.roomID });
    client.refresh();
  });
}

/** A guest's link ends; it stays as a viewer. @param {Options} [options] */
function quitPusher(options) {
  const { succeed, fail } = answers(options);
  client.room.pushers = [];
  client.deletePusher((failure) => (failure ? fail(failure) : succeed({})));
}

/** @param {Options} [options] */
function exitRoom(options) {
  const { succeed, fail } = answers(options);
  const { room, account, pushing } = client;
  const body = { roomID: room.roomID, userID: account.userID };
  const here = client.stay && room.roomID;
  const wasViewing = viewing;
  ended();
  client.leave();
  if (!here) {
    succeed({});
    return;
  }
  const done = (/** @type {Failure | null} */ failure) => (failure ? fail(failure) : succeed({}));
  if (room.roomCreator === account.userID) {
    client.call('destroy_room', body, done);
    return;
  }
  if (pushing) client.call('delete_pusher', body, done);
  if (wasViewing) client.call('delete_audience', body, pushing ? () => {} : done);
  if (!pushing && !wasViewing) succeed({});
}

/** @param {Options} [options] data: roomID; `success` gets the raw result, as it did */
function getPushers(options) {
  const { succeed, fail } = answers(options);
  const { roomID = client.room.roomID } = (options && options.data) || {};
  if (!roomID) {
    fail({ errCode: ERROR.IM, errMsg: 'getPushers: no roomID' });
    return;
  }
  client.call('get_pushers', { roomID: String(roomID) }, (failure, answer) =>
    failure ? fail(failure) : succeed({ statusCode: 200, data: answer }),
  );
}

// --- messages

/** @param {Options} options data: cmd, msg */
function sendRoomCustomMsg(options) {
  const { fail } = answers(options);
  const { cmd, msg = '' } = (options && options.data) || {};
  if (!cmd) {
    fail({ errCode: ERROR.PARAMETERS, errMsg: 'sendRoomCustomMsg: cmd is needed' });
    return;
  }
  const text = typeof msg === 'string' ? msg : JSON.stringify(msg);
  client.say(commandBody(client.account, String(cmd), text), '', options);
}

/**
 * To one user, the host by default: a whiteboard's control, for example.
 * @param {Options & { cmd?: string, msg?: string, toUserID?: string }} options the three stand beside `data`, or in it
 */
function sendC2CCustomMsg(options) {
  const { cmd = '', msg = '', toUserID } = Object.assign({}, options && options.data, options);
  const { userID, userName, userAvatar } = client.account;
  const to = toUserID || client.room.roomCreator;
  if (!to) answers(options).fail({ errCode: ERROR.PARAMETERS, errMsg: 'sendC2CCustomMsg: toUserID is needed' });
  else client.ask(String(to), String(cmd), { userID, userName, userAvatar, msg }, options);
}

const requestJoinPusher = (/** @type {Options} */ options) => linkMic.request(options);

module.exports = {
  login: (/** @type {Options} */ options) => client.login(options),
  logout: () => {
    ended();
    client.logout();
  },
  getRoomList: (/** @type {Options} */ options) => client.getRoomList(options),
  getPushURL: (/** @type {Options} */ options) => client.getPushURL(options),
  createRoom,
  enterRoom,
  exitRoom,
  sendRoomTextMsg: (/** @type {Options} */ options) => client.sendRoomTextMsg(options),
  sendRoomCustomMsg,
  setListener,
  joinPusher,
  quitPusher,
  requestJoinPusher,
  acceptJoinPusher: (/** @type {Options} */ options) => linkMic.accept(options),
  rejectJoinPusher: (/** @type {Options} */ options) => linkMic.reject(options),
  kickoutSubPusher: (/** @type {Options} */ options) => linkMic.kickout(options),
  getPushers,
  sendC2CCustomMsg,
  setVideoRatio,
  getAccountInfo: () => client.account,
  // As the component of that time spelled them.
  requestJionPusher: requestJoinPusher,
  linkJionPusher: joinPusher,
};
