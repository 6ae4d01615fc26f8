// @ts-check
/**
 * EXEStarter.js of WebEXE (2018) over a window of this server's page instead of a program: the same objects, calls,
 * callbacks and constants, for pages that start a room by them. A classic script:
 *
 *     <script src="https://gw.example.com/sdk/exestarter.js"></script>
 *     LiveRoom.setListener({ onRoomClose: (ret) => …, onMemberChange: (members) => … });
 *     LiveRoom.startEXE({ userdata, roomdata, custom, success, fail });     // in a click, or the window is blocked
 *
 * Tickets go to the page by postMessage, to this server's origin only, and stand in no address. docs/exe.md has the rest.
 */
(function () {
  'use strict';

  /**
   * @typedef {{
   *   userdata: Record<string, any>, roomdata: Record<string, any>, custom?: Record<string, any>,
   *   success?: (result: object) => void, fail?: (error: {errCode: number, errMsg: string}) => void,
   * }} StartObject
   * @typedef {{
   *   onRoomClose?: (result: object) => void, onMemberChange?: (members: object[]) => void,
   *   onRecvRoomIMMsg?: (message: object) => void, onRecvEvent?: (roomID: string, cmd: object) => void,
   * }} Listener
   * @typedef {{window: Window, object: StartObject, roomID: string, roomName: string, settled: boolean}} Started
   */

  const script = /** @type {HTMLScriptElement | null} */ (document.currentScript);
  const server = new URL(script ? script.src : location.href).origin;
  const LOOK_MS = 500;
  const BLOCKED = -1;
  const RUNS_ALREADY = -2;
  const NO_OBJECT = -9998;
  const BAD_OBJECT = -9999;

  const RoomAction = { CreateRoom: 'createRoom', EnterRoom: 'enterRoom' };
  const Template = { Template1V1: '1v1', Template1V2: '1v2', Template1V3: '1v3', Template1V4: '1v4' };
  const ScreenRecordType = { RecordNone: 0, RecordScreenToServer: 1, RecordScreenToClient: 2, RecordScreenToBoth: 3 };
  const StyleType = { LiveRoom: 'LiveRoom', RTCRoom: 'RTCRoom' };

  /** The rooms of one type that this page has started. @param {string} type */
  function starter(type) {
    /** @type {Set<Started>} */
    const rooms = new Set();
    /** @type {Listener} */
    let listener = {};

    /** @param {StartObject} object */
    function startEXE(object) {
      const fail = (/** @type {number} */ errCode, /** @type {string} */ errMsg) => object?.fail?.({ errCode, errMsg });
      if (!object?.userdata || !object.roomdata) return fail(NO_OBJECT, `${type}.startEXE: userdata and roomdata are needed`);
      const { userID, userSig, sdkAppID } = object.userdata;
      const { roomAction, roomID } = object.roomdata;
      if (!userID || !userSig || !sdkAppID || !roomAction || (!roomID && roomAction !== RoomAction.CreateRoom)) {
        return fail(BAD_OBJECT, `${type}.startEXE: userID, userSig, sdkAppID, roomAction and roomID are needed`);
      }
      const singleton = object.custom?.singleton !== false;
      if (singleton && rooms.size) return fail(RUNS_ALREADY, 'one room runs already; close it first');
      const opened = window.open(`${server}/exe#opener`, singleton ? `gateway-${type}` : '_blank', 'popup,width=1100,height=760');
      if (!opened) return fail(BLOCKED, 'the browser has blocked the window: start it in a click, or allow windows of this page');
      const room = { window: opened, object, roomID: String(roomID ?? ''), roomName: String(object.roomdata.roomName ?? ''), settled: false };
      rooms.add(room);
      watch(room);
      return undefined;
    }

    /** A window that is closed by its own button says nothing. @param {Started} room */
    function watch(room) {
      const timer = setInterval(() => {
        if (!rooms.has(room)) clearInterval(timer);
        else if (room.window.closed) over(room, -1, 'the window was closed');
      }, LOOK_MS);
    }

    /** @param {Started} room @param {number} code @param {string} msg */
    function over(room, code, msg) {
      if (!rooms.delete(room)) return;
      const { roomID, roomName } = room;
      if (room.settled) listener.onRoomClose?.({ roomID, msg, data: { roomID, roomName, code, msg } });
      else room.object.fail?.({ errCode: code, errMsg: msg });
    }

    addEventListener('message', (event) => {
      const room = [...rooms].find((one) => one.window === event.source);
      const said = event.data;
      if (!room || event.origin !== server || typeof said !== 'object' || said === null) return;
      const { roomdata } = room.object;
      if (said.exe === 'ready') {
        const { userdata, custom } = room.object;
        room.window.postMessage({ exe: 'start', object: { userdata, roomdata: { ...roomdata, type }, custom } }, server);
      } else if (said.exe === 'entered') {
        room.roomID = String(said.roomID);
        if (!room.settled) room.object.success?.({ data: { roomID: room.roomID } });
        room.settled = true;
      } else if (said.exe === 'failed') {
        over(room, said.code, said.msg);
      } else if (said.exe === 'members') {
        listener.onMemberChange?.(said.list);
      } else if (said.exe === 'message') {
        listener.onRecvRoomIMMsg?.(said.message);
      } else if (said.exe === 'event') {
        listener.onRecvEvent?.(room.roomID, said.cmd);
      } else if (said.exe === 'closed') {
        over(room, said.code, said.msg);
      }
    });

    /** @param {{data?: {roomID?: string}, success?: (result: object) => void, fail?: (error: object) => void}} [object] */
    function stopEXE(object) {
      const wanted = object?.data?.roomID;
      const found = [...rooms].filter(({ roomID }) => wanted === undefined || roomID === String(wanted));
      if (!found.length) return object?.fail?.({ errCode: BAD_OBJECT, errMsg: 'no such room was started here' });
      for (const room of found) {
        rooms.delete(room);
        room.window.postMessage({ exe: 'stop' }, server);
      }
      return object?.success?.({});
    }

    return {
      startEXE,
      stopEXE,
      /** @param {Listener} object */
      setListener(object) {
        listener = object ?? {};
      },
      unload() {
        listener = {};
        if (rooms.size) stopEXE();
      },
    };
  }

  const LiveRoom = starter('LiveRoom');
  const RtcRoom = starter('RTCRoom');

  /** @param {any} object @returns {ReturnType<typeof starter>} */
  const byType = (object) => (object?.roomdata?.type === StyleType.LiveRoom ? LiveRoom : RtcRoom);

  /** The older face, with the type in `roomdata`. */
  const EXEStarter = {
    /** @param {StartObject} object */
    createExeAsRoom: (object) => byType(object).startEXE(object),
    /** @param {StartObject} object */
    startEXE: (object) => byType(object).startEXE(object),
    /** @param {any} [object] */
    stopEXE(object) {
      LiveRoom.stopEXE(object);
      RtcRoom.stopEXE(object && { data: object.data });
    },
    /** @param {Listener} object */
    setListener(object) {
      LiveRoom.setListener(object);
      RtcRoom.setListener(object);
    },
    unload() {
      LiveRoom.unload();
      RtcRoom.unload();
    },
    RoomAction,
    Template,
    ScreenRecordType,
    StyleType,
    EXEUrl: `${server}/exe`,
  };

  /**
   * A userSig for guests, as the demo pages ask for it: `success({status, data})`.
   * @param {{data?: {userID?: string}, success?: (result: object) => void, fail?: (error: object) => void}} object
   */
  function getSDKLoginInfo({ data, success, fail }) {
    const query = data?.userID ? `?userID=${encodeURIComponent(data.userID)}` : '';
    fetch(`${server}/roomservice/weapp/utils/get_login_info${query}`)
      .then(async (response) => {
        const answer = await response.json();
        if (answer.code === 0) success?.({ status: 200, data: { ...answer, accountType: answer.accType } });
        else fail?.({ errCode: answer.code, errMsg: answer.message });
      })
      .catch((error) => fail?.({ errCode: -1, errMsg: String(error) }));
  }

  Object.assign(window, { LiveRoom, RtcRoom, EXEStarter, getSDKLoginInfo, EnumDef: { RoomAction, Template, ScreenRecordType, EXEUrl: EXEStarter.EXEUrl } });
})();
