// @ts-check
/**
 * The web library of 2018, as a classic script with the global `WebRTCAPI`, over trtc.js.
 *
 *     <script src="https://gw.example.com/sdk/webrtcapi.js"></script>
 *     var RTC = new WebRTCAPI({ sdkAppId, userId, userSig, accountType }, function () {
 *       RTC.createRoom({ roomid: 1001, role: 'user' });
 *     });
 *     RTC.on('onRemoteStreamUpdate', function (info) { … video.srcObject = info.stream … });
 *
 * This file is the face: what such pages call, and what has to be there at once. The work is done by the modules in
 * webrtcapi/ beside it, which it loads; calls that come earlier wait. Callbacks and events come after the call that
 * caused them has returned. Errors are `{errorCode, errorMsg, extInfo}`. All of it is told in docs/webrtcapi.md.
 */

// `var`, so that the page may include this twice, and so that modules see its table of errors.
var WebRTCAPI = (() => {
  /**
   * @typedef {import('./webrtcapi/participant.js').Participant} Participant
   * @typedef {import('./webrtcapi/participant.js').Options} Options
   * @typedef {import('./webrtcapi/participant.js').RoomOptions} RoomOptions
   * @typedef {import('./webrtcapi/participant.js').Peer} Peer
   * @typedef {import('./webrtcapi/local.js').CaptureOptions} CaptureOptions
   * @typedef {import('./webrtcapi/meter.js').MeterOptions} MeterOptions
   * @typedef {import('./webrtcapi/codes.js').Failure} Failure
   * @typedef {(result?: any) => void} Succ
   * @typedef {(error: Failure) => void} Fail
   * @typedef {(...details: any[]) => void} Handler
   */

  const ERROR_CODE = Object.freeze({
    SUCC: 0,
    PARAM_MISSING: 10001,
    NOT_SUPPORT: 10002,
    INIT_WS_FAILED: 10005,
    ENTER_ROOM_ERROR: 10006,
    CREATE_PEERCONNECTION_FAILED: 10007,
    GET_USERMEDIA_FAILED: 10008,
    GET_LOCALSDP_FAILED: 10009,
    SET_REMOTE_SDP_FAILED: 10012,
    GET_ANSWER_SDP_FAILED: 10013,
    ON_ICE_BROKEN: 10014,
    ON_ICE_CLOSE: 10015,
    NOT_FOUND: 10031,
    NOT_INITED: 10032,
    START_RTC_FAILED: 10033,
    STOP_RTC_FAILED: 10034,
    WS_CLOSE: 10035,
    WS_ERROR: 10036,
    UPDATE_VIDEO_SSRC_FAILED: 10037,
    UPDATE_AUDIO_SSRC_FAILED: 10038,
    NOT_FOUND_PEER: 10039,
    INIT_SDK_FAILED: 11000,
    TLS_VERIFY_ERROR: 70236,
  });

  const script = document.currentScript;
  const here = script instanceof HTMLScriptElement && script.src ? script.src : location.href;

  /** @param {string} name of a module beside this script */
  const load = (name) => import(new URL(`webrtcapi/${name}.js`, here).href);

  /** @returns {Promise<typeof import('./webrtcapi/participant.js')>} */
  const participants = () => load('participant');

  /** @returns {Promise<typeof import('./webrtcapi/devices.js')>} */
  const devices = () => load('devices');

  /** @returns {Promise<typeof import('./webrtcapi/meter.js')>} */
  const meters = () => load('meter');

  /**
   * @param {number} errorCode for what has no number of that time yet
   * @param {unknown} cause an error of the library or the browser, words, or a Failure, which stays as it is
   * @returns {Failure} `extInfo` has what the library says of it (docs/sdk.md 12)
   */
  function failure(errorCode, cause) {
    const { errorCode: known, message = String(cause), code, extraCode, reason } = /** @type {any} */ (cause ?? {});
    return known === undefined ? { errorCode, errorMsg: message, extInfo: { code, extraCode, reason } } : /** @type {any} */ (cause);
  }

  /** @param {unknown} callback of the page: what it throws disturbs nobody else @param {unknown[]} details */
  function tell(callback, ...details) {
    if (typeof callback !== 'function') return;
    try {
      callback(...details);
    } catch (error) {
      console.error(error);
    }
  }

  return class WebRTCAPI {
    static ERROR_CODE = ERROR_CODE;
    static failure = failure;
    static fn = this.prototype;

    /** Can this browser take part? @param {unknown} options none are known @param {Succ} [callback] */
    static detectRTC(options, callback) {
      const heard = typeof options === 'function' ? options : callback;
      const nothing = { support: false, isTBS: false, screenshare: false, h264: false, detail: {} };
      void devices()
        .then((module) => module.detect())
        .catch((error) => ({ ...nothing, error: String(error) }))
        .then((result) => tell(heard, result));
    }

    /**
     * How loud a stream is: `onprocess({volume, status, event})` about 12 times a second, until `stop()`. With or without `new`.
     * @param {MeterOptions} options
     */
    static SoundMeter = function SoundMeter(options) {
      const meter = meters().then((module) => new module.Meter(options));
      meter.catch((error) => console.error(error));
      return { stop: () => void meter.then((running) => running.stop(), () => undefined) };
    };

    /** The release whose calls these are. */
    static version() {
      return '3.0';
    }

    /** @type {{name: string, group: string | undefined, handler: Handler}[]} in the order of their coming */
    #listeners = [];
    #options;
    /** @type {Promise<Participant>} */
    #ready;
    /** @type {Participant | null} once it is loaded */
    #loaded = null;

    /**
     * @param {Options} options
     * @param {Succ} [succ]
     * @param {Fail} [err]
     */
    constructor(options, succ, err) {
      this.#options = options ?? {};
      this.#ready = this.#init();
      this.#ready.then(
        () => this.emit('onInitResult', { errorCode: 0, errorMsg: '', result: 0 }),
        (/** @type {Failure} */ error) => {
          this.emit('onInitResult', { ...error, result: error.errorCode });
          if (!err) this.emit('onErrorNotify', error);
        },
      );
      this.connect(succ, err);
    }

    async #init() {
      let module;
      try {
        module = await participants();
      } catch (error) {
        throw failure(ERROR_CODE.INIT_SDK_FAILED, error);
      }
      this.#loaded = await module.Participant.create(this.#options, (name, detail) => this.emit(name, detail));
      return this.#loaded;
    }

    /** Hear when it is ready, for pages that give the constructor no callbacks. @param {Succ} [succ] @param {Fail} [err] */
    connect(succ, err) {
      this.#run(succ, err, ERROR_CODE.INIT_SDK_FAILED, async () => ({ errorCode: 0, errorMsg: '', result: 0 }));
    }

    // --- the room

    /**
     * Enter the room `roomid`; it is made if it is not there.
     * @param {RoomOptions} options
     * @param {Succ} [succ]
     * @param {Fail} [err]
     */
    createRoom(options, succ, err) {
      this.#run(succ, err, ERROR_CODE.ENTER_ROOM_ERROR, (participant) => participant.enter(options ?? {}));
    }

    /** @param {RoomOptions} options @param {Succ} [succ] @param {Fail} [err] */
    enterRoom(options, succ, err) {
      this.createRoom(options, succ, err);
    }

    /** Leave; what the library opened is closed. @param {Succ} [succ] @param {Fail} [err] */
    quit(succ, err) {
      this.#run(succ, err, ERROR_CODE.NOT_INITED, (participant) => participant.quit());
    }

    // --- what is sent

    /**
     * Open camera and microphone, or the screen. Nothing is sent yet.
     * @param {CaptureOptions | Succ} options
     * @param {Succ} [succ] gets `{stream}`
     * @param {Fail} [err]
     */
    getLocalStream(options, succ, err) {
      const [asked, heard] = typeof options === 'function' ? [{}, options] : [options ?? {}, succ];
      this.#run(heard, err, ERROR_CODE.GET_USERMEDIA_FAILED, async ({ local }) => ({ stream: await local.capture(asked) }));
    }

    /**
     * Send a stream: the one given, the one captured before, or a new one. With a user (`peerAddNotify`): receive that one.
     * @param {(Peer & import('./webrtcapi/participant.js').StartOptions) | 0 | null} [options]
     * @param {Succ} [succ]
     * @param {Fail} [err]
     */
    startRTC(options, succ, err) {
      this.#run(succ, err, ERROR_CODE.START_RTC_FAILED, (participant) => participant.start(options || {}, !err));
    }

    /**
     * Stop sending; the stream stays open. With a user: receive no more of that one.
     * @param {Peer | 0 | null} [options]
     * @param {Succ} [succ]
     * @param {Fail} [err]
     */
    stopRTC(options, succ, err) {
      this.#run(succ, err, ERROR_CODE.STOP_RTC_FAILED, (participant) => participant.stop(options || {}));
    }

    /**
     * Send another stream in place of the present one.
     * @param {{stream: MediaStream, role?: string}} options
     * @param {Succ} [succ]
     * @param {Fail} [err]
     */
    updateStream(options, succ, err) {
      this.#run(succ, err, ERROR_CODE.START_RTC_FAILED, ({ local }) => local.update(options ?? {}));
    }

    openVideo() {
      return this.#mute('video', false);
    }

    closeVideo() {
      return this.#mute('video', true);
    }

    openAudio() {
      return this.#mute('audio', false);
    }

    closeAudio() {
      return this.#mute('audio', true);
    }

    /**
     * Another picture profile; `anchor` and `audience` change what one may do (3.0).
     * @param {string} role
     * @param {Succ} [succ]
     * @param {Fail} [err]
     */
    changeSpearRole(role, succ, err) {
      this.#run(succ, err, ERROR_CODE.PARAM_MISSING, (participant) => participant.changeRole(role));
    }

    /** What is sent and not closed. */
    getLocalMediaStatus() {
      return this.#loaded?.local.status() ?? { video: false, audio: false };
    }

    /** The stream that is sent. */
    getLocalMediaStream() {
      return this.#loaded?.local.stream ?? null;
    }

    /** Pages of that time look here whether they send already. */
    get global() {
      return { localStream: this.getLocalMediaStream() };
    }

    // --- devices

    /** @param {(devices: MediaDeviceInfo[]) => void} callback */
    getVideoDevices(callback) {
      this.#list('videoinput', callback);
    }

    /** @param {(devices: MediaDeviceInfo[]) => void} callback */
    getAudioDevices(callback) {
      this.#list('audioinput', callback);
    }

    /** @param {(devices: MediaDeviceInfo[]) => void} callback */
    getSpeakerDevices(callback) {
      this.#list('audiooutput', callback);
    }

    /** Use this camera from now on. @param {MediaDeviceInfo} device @param {Succ} [succ] @param {Fail} [err] */
    chooseVideoDevice(device, succ, err) {
      this.#run(succ, err, ERROR_CODE.GET_USERMEDIA_FAILED, ({ local }) => local.choose('video', device));
    }

    /** Use this microphone from now on. @param {MediaDeviceInfo} device @param {Succ} [succ] @param {Fail} [err] */
    chooseAudioDevice(device, succ, err) {
      this.#run(succ, err, ERROR_CODE.GET_USERMEDIA_FAILED, ({ local }) => local.choose('audio', device));
    }

    /**
     * Play this element by this speaker.
     * @param {HTMLMediaElement} element
     * @param {MediaDeviceInfo} device
     * @param {Succ} [succ]
     * @param {Fail} [err]
     */
    chooseSpeakerDevice(element, device, succ, err) {
      this.#run(succ, err, ERROR_CODE.NOT_FOUND, async () => (await devices()).playBy(element, device));
    }

    /** @param {unknown} options @param {Succ} [callback] */
    detectRTC(options, callback) {
      WebRTCAPI.detectRTC(options, callback);
    }

    /** The browser's own, with callbacks. @param {MediaStreamConstraints} constraints @param {Succ} [succ] gets the stream @param {Fail} [fail] */
    getUserMedia(constraints, succ, fail) {
      devices()
        .then((module) => module.open(constraints))
        .then((stream) => tell(succ, stream), (error) => tell(fail, failure(ERROR_CODE.GET_USERMEDIA_FAILED, error)));
    }

    /** @param {MediaStream} stream */
    releaseStream(stream) {
      for (const track of stream.getTracks()) track.stop();
    }

    // --- what is known

    /**
     * Numbers of what is sent, or with a `userId` of what comes from there, at each `interval` (ms) until `nomore()`.
     * @param {{userId?: string, interval?: number}} options
     * @param {(result: any) => void} callback
     * @param {Fail} [err]
     */
    getStats(options, callback, err) {
      const { userId = '', interval = undefined } = options ?? {};
      let ended = false;
      /** @type {() => void} */
      let end = () => undefined;
      const nomore = () => {
        ended = true;
        end();
      };
      this.#run(undefined, err, ERROR_CODE.NOT_FOUND, async ({ stats }) => {
        if (ended) return;
        const failed = (/** @type {unknown} */ error) => this.#fail(err, failure(ERROR_CODE.NOT_FOUND, error));
        end = stats.start(userId, interval, (result) => tell(callback, { ...result, nomore }), failed);
      });
      return { nomore };
    }

    /** @param {string} [tinyId] as in a `videoId`, before the `_` @returns {string | null} that user; without one, oneself */
    getUserId(tinyId) {
      const { userId, userID, openid } = this.#options;
      if (tinyId === undefined) return String(userId ?? userID ?? openid ?? '');
      return this.#loaded?.userOf(String(tinyId)) ?? null;
    }

    /** @param {string} [tinyId] */
    getOpenId(tinyId) {
      return this.getUserId(tinyId);
    }

    getErrorCode() {
      return ERROR_CODE;
    }

    // --- callbacks and events

    /**
     * @param {string} name `*`, or a beginning and `*`: every such event; its handler gets the name first, then the payload
     * @param {string | Handler} group with a third argument: a name for `releaseGroup`
     * @param {Handler} [handler]
     */
    on(name, group, handler) {
      const entry = handler ? { name, group: String(group), handler } : { name, group: undefined, handler: /** @type {Handler} */ (group) };
      this.#listeners.push(entry);
      return this;
    }

    /** The same for the next such event only. @param {string} name @param {string | Handler} group @param {Handler} [handler] */
    once(name, group, handler) {
      const wanted = handler ?? /** @type {Handler} */ (group);
      /** @type {Handler} */
      const first = (...details) => {
        this.off(name, first);
        wanted(...details);
      };
      return handler ? this.on(name, group, first) : this.on(name, first);
    }

    /** @param {string} name @param {Handler} [handler] nothing: all of this name */
    off(name, handler) {
      this.#listeners = this.#listeners.filter((entry) => entry.name !== name || (handler && entry.handler !== handler));
      return this;
    }

    /** @param {string} group */
    releaseGroup(group) {
      this.#listeners = this.#listeners.filter((entry) => entry.group !== group);
      return this;
    }

    /** @param {string} name @param {any} [detail] */
    emit(name, detail) {
      const listeners = [...this.#listeners];
      for (const entry of listeners) if (entry.name === name) tell(entry.handler, detail);
      for (const { name: pattern, handler } of listeners) {
        if (pattern.endsWith('*') && name.startsWith(pattern.slice(0, -1))) tell(handler, name, detail);
      }
      return this;
    }

    /** @param {unknown} err @param {Failure} error */
    #fail(err, error) {
      if (typeof err === 'function') tell(err, error);
      else this.emit('onErrorNotify', error);
    }

    /**
     * @param {unknown} succ
     * @param {unknown} err
     * @param {number} code for errors that have none of ours
     * @param {(participant: Participant) => Promise<unknown>} act
     */
    #run(succ, err, code, act) {
      this.#ready.then(act).then(
        (result) => tell(succ, result),
        (error) => tell(err, failure(code, error)),
      );
    }

    /** @param {'audio' | 'video'} kind @param {boolean} muted */
    #mute(kind, muted) {
      const act = (/** @type {Participant} */ { local }) => local.mute(kind, muted);
      const done = this.#loaded ? act(this.#loaded) : this.#ready.then(act);
      done.catch((error) => this.emit('onErrorNotify', failure(ERROR_CODE.START_RTC_FAILED, error)));
      return true;
    }

    /** @param {MediaDeviceKind} kind @param {(devices: MediaDeviceInfo[]) => void} callback */
    #list(kind, callback) {
      void devices()
        .then((module) => module.list(kind))
        .catch((error) => {
          this.emit('onErrorNotify', failure(ERROR_CODE.GET_USERMEDIA_FAILED, error));
          return [];
        })
        .then((found) => tell(callback, found));
    }
  };
})();
