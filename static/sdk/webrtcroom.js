// @ts-check
/**
 * The room service as pages of 2018 call it: a classic script with the global `WebRTCRoom`.
 *
 *     <script src="https://gw.example.com/sdk/webrtcroom.js"></script>
 *     WebRTCRoom.getLoginInfo('teacher', function (res) { … res.data.userSig … }, function (error) { … error.errCode … });
 *
 * Every call is a POST of JSON to `/webrtc/weapp/webrtc_room/<call>` of the server that this script came from. `succ` gets
 * `{status, data}` with the answer; `fail` gets `{errCode, errMsg}`: the service's code, the HTTP status, or -1 without an
 * answer within 10 s. Exactly one of the two is called; what it throws disturbs nobody.
 */
(() => {
  /**
   * @typedef {(result: {status: number, data: any}) => void} Succ
   * @typedef {(error: {errCode: number, errMsg: string}) => void} Fail
   * @typedef {(userID: string, roomID: string) => void} Beat
   */

  const TIMEOUT_MS = 10_000;
  const HEARTBEAT_MS = 7_000;
  /** So many heartbeats in a row may fail before a page hears of it; pages leave then. */
  const FORGIVEN = 2;
  const script = document.currentScript;
  const origin = script instanceof HTMLScriptElement && script.src ? script.src : location.href;
  let base = new URL('/webrtc/weapp/webrtc_room/', origin).href;
  let userSig = '';
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let heart;

  /**
   * @param {string} name
   * @param {Record<string, unknown>} fields
   * @param {Succ} [succ]
   * @param {Fail} [fail]
   */
  async function call(name, fields, succ, fail) {
    const aborter = new AbortController();
    const timer = setTimeout(() => aborter.abort(), TIMEOUT_MS);
    /** @type {{errCode: number, errMsg: string} | null} */
    let error = null;
    let status = 0;
    let data;
    try {
      const answer = await fetch(base + name, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(userSig ? { ...fields, userSig } : fields),
        signal: aborter.signal,
      });
      status = answer.status;
      data = await answer.json();
      if (data.code !== 0) error = { errCode: data.code ?? status, errMsg: data.message ?? answer.statusText };
    } catch (cause) {
      error = { errCode: -1, errMsg: aborter.signal.aborted ? `${name}: no answer within 10 s` : `${name}: ${cause}` };
    } finally {
      clearTimeout(timer);
    }
    try {
      if (error) fail?.(error);
      else succ?.({ status, data });
    } catch (thrown) {
      console.error(thrown);
    }
  }

  const WebRTCRoom = {
    /**
     * Ours: another server than the one this script came from, such as https://gw.example.com.
     * @param {string} server
     */
    setServer(server) {
      base = new URL('/webrtc/weapp/webrtc_room/', server).href;
    },

    /**
     * Ours: a userSig to send with every call, for servers that answer no guests.
     * @param {string} signature '' sends none
     */
    setUserSig(signature) {
      userSig = signature;
    },

    /** @param {string} userID '' asks for a new one @param {Succ} [succ] @param {Fail} [fail] */
    getLoginInfo(userID, succ, fail) {
      void call('get_login_info', { userID }, succ, fail);
    },

    /** @param {number} index from 0 @param {number} count @param {Succ} [succ] @param {Fail} [fail] */
    getRoomList(index, count, succ, fail) {
      void call('get_room_list', { index, count }, succ, fail);
    },

    /** @param {string} userID @param {string} nickName @param {string} roomInfo @param {Succ} [succ] @param {Fail} [fail] */
    createRoom(userID, nickName, roomInfo, succ, fail) {
      void call('create_room', { userID, nickName, roomInfo }, succ, fail);
    },

    /** @param {string} userID @param {string} nickName @param {string} roomID @param {Succ} [succ] @param {Fail} [fail] */
    enterRoom(userID, nickName, roomID, succ, fail) {
      void call('enter_room', { userID, nickName, roomID }, succ, fail);
    },

    /** Ends the heartbeat too. @param {string} userID @param {string} roomID @param {Succ} [succ] @param {Fail} [fail] */
    quitRoom(userID, roomID, succ, fail) {
      WebRTCRoom.stopHeartBeat();
      void call('quit_room', { userID, roomID }, succ, fail);
    },

    /** @param {string} roomID @param {Succ} [succ] @param {Fail} [fail] */
    get_room_members(roomID, succ, fail) {
      void call('get_room_members', { roomID }, succ, fail);
    },

    /**
     * One every 7 s, the first after 7 s.
     * @param {string} userID
     * @param {string} roomID
     * @param {Beat} [succ] for each that is answered
     * @param {Beat} [fail] for the third in a row that is not, and those that follow
     * @returns the interval, which a page may clear as well
     */
    startHeartBeat(userID, roomID, succ, fail) {
      WebRTCRoom.stopHeartBeat();
      let failed = 0;
      const mine = setInterval(() => {
        const good = () => {
          failed = 0;
          if (heart === mine) succ?.(userID, roomID);
        };
        const bad = () => {
          failed += 1;
          if (heart === mine && failed > FORGIVEN) fail?.(userID, roomID);
        };
        void call('heartbeat', { userID, roomID }, good, bad);
      }, HEARTBEAT_MS);
      heart = mine;
      return mine;
    },

    stopHeartBeat() {
      clearInterval(heart);
      heart = undefined;
    },
  };

  Object.assign(window, { WebRTCRoom });
})();
