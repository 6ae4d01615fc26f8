// @ts-check
/**
 * The web library of 2018, as a classic script with the global `WebRTCAPI`, over trtc.js, which it loads from beside itself.
 *
 *     <script src="https://gw.example.com/sdk/webrtcapi.js"></script>
 *     var RTC = new WebRTCAPI({ sdkAppId, userId, userSig, accountType }, function () {
 *       RTC.createRoom({ roomid: 1001, role: 'user' });
 *     });
 *     RTC.on('onRemoteStreamUpdate', function (info) { … video.srcObject = info.stream … });
 *
 * Callbacks and events come after the call that caused them has returned. Errors are `{errorCode, errorMsg, extInfo}`.
 * What the pages of that time may rely on is told in docs/webrtcapi.md.
 */
(() => {
  /**
   * @typedef {import('./trtc.js').default} Trtc
   * @typedef {typeof import('./trtc.js').default} TrtcClass
   * @typedef {{errorCode: number, errorMsg: string, extInfo?: unknown}} Failure
   * @typedef {(result?: any) => void} Succ
   * @typedef {(error: Failure) => void} Fail
   * @typedef {{
   *   sdkAppId: number | string, userId?: string, openid?: string, userSig: string, accountType?: number | string,
   *   privateMapKey?: string, closeLocalMedia?: boolean, video?: boolean, audio?: boolean,
   *   peerAddNotify?: (peer: {userId: string, openId: string, videoId: string}) => void,
   *   useCloud?: boolean, wsRetryMaxTimes?: number, wsRetryDist?: number, debug?: unknown, preconn?: boolean,
   * }} Options those of the last line are taken and have no effect
   * @typedef {{
   *   roomid: number | string, privateMapKey?: string, role?: string, appScene?: string,
   *   pureAudioPush?: unknown, pureAudioPushMod?: unknown, recordId?: unknown,
   * }} RoomOptions those of the last line are taken and have no effect
   * @typedef {{
   *   audio?: boolean, video?: boolean, role?: string, screen?: boolean,
   *   videoDevice?: MediaDeviceInfo, audioDevice?: MediaDeviceInfo,
   * }} CaptureOptions
   * @typedef {{
   *   userId: string, kind: 'main' | 'sub', videoId: string, tracks: string, stream: MediaStream | null,
   *   videoType: number, audioMuted: boolean, videoMuted: boolean,
   * }} Remote
   * @typedef {'audio' | 'video'} Kind
   */

  const CODE = Object.freeze({
    SUCC: 0,
    PARAM: 10001,
    NOT_SUPPORTED: 10002,
    WS_CONNECT: 10005,
    ENTER_ROOM: 10006,
    PEER_CONNECTION: 10007,
    GET_USER_MEDIA: 10008,
    LOCAL_SDP: 10009,
    REMOTE_SDP: 10012,
    ANSWER_SDP: 10013,
    ICE_BROKEN: 10014,
    ICE_CLOSE: 10015,
    NOT_FOUND: 10031,
    NOT_INIT: 10032,
    START_RTC: 10033,
    STOP_RTC: 10034,
    WS_CLOSE: 10035,
    WS_ERROR: 10036,
    VIDEO_SSRC: 10037,
    AUDIO_SSRC: 10038,
    PEER_NOT_FOUND: 10039,
    SDK_INIT: 11000,
    TLS_SIG: 70236,
  });

  const DEFAULT_PROFILE = { width: 640, height: 480, frameRate: 15, bitrate: 800 };
  /** @type {Record<string, typeof DEFAULT_PROFILE>} */
  const PROFILES = {
    user: { width: 640, height: 368, frameRate: 15, bitrate: 600 },
    miniwhite: { width: 640, height: 368, frameRate: 15, bitrate: 600 },
    wp640: { width: 640, height: 480, frameRate: 15, bitrate: 800 },
    wp1280: { width: 1280, height: 720, frameRate: 15, bitrate: 1500 },
  };
  const NEW_ROLES = ['anchor', 'audience'];
  const SPEAKING = 0.01;
  const STATS_MS = 1000;

  const script = document.currentScript;
  const here = script instanceof HTMLScriptElement && script.src ? script.src : location.href;
  /** @type {Promise<TrtcClass> | null} */
  let library = null;

  /** @returns {Promise<TrtcClass>} */
  function load() {
    library ??= import(new URL('trtc.js', here).href).then((module) => module.default);
    library.catch(() => (library = null));
    return library;
  }

  /**
   * @param {number} errorCode
   * @param {unknown} cause
   * @returns {Failure}
   */
  function failure(errorCode, cause) {
    const { message = String(cause), code, extraCode, reason } = /** @type {any} */ (cause ?? {});
    return { errorCode, errorMsg: message, extInfo: { code, extraCode, reason } };
  }

  /**
   * Why a room could not be entered, in the numbers of that time.
   * @param {any} error
   */
  function entryCode({ code, reason }) {
    if (reason === 'bad_ticket') return CODE.TLS_SIG;
    if (code === 5000) return CODE.PARAM;
    if (code === 5200) return CODE.NOT_SUPPORTED;
    if (code === 5500) return CODE.WS_CONNECT;
    return CODE.ENTER_ROOM;
  }

  /** A number as text that stands for a user, the same at each time. @param {string} userId */
  function tinyId(userId) {
    let hash = 5381n;
    for (const letter of userId) hash = (hash * 33n + BigInt(letter.codePointAt(0) ?? 0)) % 1_000_000_000_000n;
    return String(144_115_000_000_000_000n + hash);
  }

  /** @param {string} [role] */
  const profile = (role) => PROFILES[role ?? ''] ?? DEFAULT_PROFILE;

  /**
   * Can this browser take part?
   * @param {unknown} options none are known
   * @param {Succ} [callback]
   */
  function detectRTC(options, callback) {
    const tell = typeof options === 'function' ? /** @type {Succ} */ (options) : callback;
    void load()
      .then((TRTC) => TRTC.isSupported())
      .then(
        ({ result, detail }) => ({
          support: result,
          isTBS: /TBS\//.test(navigator.userAgent),
          screenshare: detail.isScreenShareSupported,
          h264: detail.isH264EncodeSupported,
          detail,
        }),
        (error) => ({ support: false, isTBS: false, screenshare: false, h264: false, detail: {}, error: String(error) }),
      )
      .then((result) => tell?.(result));
  }

  /**
   * How loud a stream is: `onprocess({volume, status, event})` about 12 times a second, `volume` 0..1, `status` "speaking" or
   * "silent". `stop()` ends it. With or without `new`.
   * @param {{stream: MediaStream, onprocess: (detail: {volume: number, status: string, event: Event}) => void}} options
   */
  function SoundMeter({ stream, onprocess }) {
    const context = new AudioContext();
    const source = context.createMediaStreamSource(stream);
    const tap = context.createScriptProcessor(4096, 1, 1);
    tap.onaudioprocess = (event) => {
      const samples = event.inputBuffer.getChannelData(0);
      const volume = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
      onprocess({ volume, status: volume >= SPEAKING ? 'speaking' : 'silent', event });
    };
    source.connect(tap).connect(context.destination);
    void context.resume();
    return {
      stop() {
        source.disconnect();
        tap.disconnect();
        void context.close();
      },
    };
  }

  class WebRTCAPI {
    static detectRTC = detectRTC;
    static fn = { detectRTC };
    static SoundMeter = SoundMeter;

    /** @type {Map<string, Set<(detail: any, name?: string) => void>>} */
    #listeners = new Map();
    #options;
    #userId;
    /** @type {Trtc | null} */
    #trtc = null;
    /** @type {Promise<Trtc>} */
    #ready;
    #inRoom = false;
    #wasConnected = false;
    #iceBuilt = false;
    #role = '';
    /** @type {MediaStream | null} the one that is sent, or captured last */
    #local = null;
    /** @type {Set<MediaStreamTrack>} those that we opened ourselves */
    #captured = new Set();
    #sending = { audio: false, video: false };
    #open = { audio: true, video: true };
    /** @type {{audio?: MediaDeviceInfo, video?: MediaDeviceInfo}} */
    #device = {};
    /** @type {Map<string, Remote>} by user and kind */
    #remotes = new Map();
    #looking = false;
    /** @type {Set<() => void>} ends of getStats */
    #stats = new Set();
    /** what changes the own media goes one after the other @type {Promise<unknown>} */
    #last = Promise.resolve();

    /**
     * @param {Options} options
     * @param {Succ} [succ]
     * @param {Fail} [err]
     */
    constructor(options, succ, err) {
      this.#options = options ?? {};
      this.#userId = String(this.#options.userId ?? this.#options.openid ?? '');
      this.#ready = this.#init();
      this.#ready.then(
        () => {
          this.#emit('onInitResult', { result: 0 });
          succ?.({ result: 0 });
        },
        (/** @type {Failure} */ error) => {
          this.#emit('onInitResult', { result: error.errorCode });
          this.#fail(err, error);
        },
      );
    }

    async #init() {
      const { sdkAppId, userSig } = this.#options;
      if (!sdkAppId || !this.#userId || !userSig) throw failure(CODE.PARAM, 'sdkAppId, userId and userSig are needed');
      let TRTC;
      try {
        TRTC = await load();
      } catch (error) {
        throw failure(CODE.SDK_INIT, error);
      }
      if (!(await TRTC.isSupported()).result) throw failure(CODE.NOT_SUPPORTED, 'this browser has no WebRTC');
      const trtc = TRTC.create();
      this.#trtc = trtc;
      this.#listen(trtc, TRTC);
      return trtc;
    }

    /**
     * @param {Trtc} trtc
     * @param {TrtcClass} TRTC
     */
    #listen(trtc, { EVENT }) {
      trtc.on(EVENT.ROOM_CHANGED, () => this.#look());
      trtc.on(EVENT.TRACK, ({ userId }) => userId && this.#look());
      trtc.on(EVENT.CONNECTION_STATE_CHANGED, ({ state }) => this.#connection(state));
      trtc.on(EVENT.NETWORK_QUALITY, (quality) => this.#emit('onQualityReport', quality));
      trtc.on(EVENT.AUTOPLAY_FAILED, () => undefined); // the page's own elements play the sound
      trtc.on(EVENT.PUBLISH_STATE_CHANGED, ({ state }) => state === 'started' && this.#iceUp());
      trtc.on(EVENT.KICKED_OUT, ({ reason }) => {
        this.#left();
        this.#emit('onKickout', { userId: this.#userId, reason });
      });
      trtc.on(EVENT.ERROR, (error) => {
        if (error.code === 5300) return this.#notify(failure(CODE.GET_USER_MEDIA, error));
        if (error.reason === 'media_blocked') {
          this.#emit('onIceConnectionBuild', { result: 2, state: 'failed' });
          return this.#relayTimeout(failure(CODE.ICE_BROKEN, error));
        }
        if (trtc.getRoom()) return this.#notify(failure(CODE.PEER_CONNECTION, error));
        if (!this.#inRoom) return undefined;
        const lost = failure(error.reason === 'bad_ticket' ? CODE.TLS_SIG : CODE.WS_ERROR, error);
        this.#left();
        this.#emit('onWebSocketError', lost);
        this.#emit('onWebSocketNotify', lost);
        return this.#relayTimeout(lost);
      });
    }

    // --- the room

    /**
     * Enter the room `roomid`; it is made if it is not there.
     * @param {RoomOptions} options
     * @param {Succ} [succ]
     * @param {Fail} [err]
     */
    createRoom(options, succ, err) {
      void this.#run(succ, err, CODE.ENTER_ROOM, async () => {
        const trtc = await this.#ready;
        const { roomid, privateMapKey = this.#options.privateMapKey, role = '', appScene } = options ?? {};
        const roomId = Number(roomid);
        if (!Number.isInteger(roomId) || roomId < 1) throw failure(CODE.PARAM, 'roomid: a whole number is needed');
        const { sdkAppId, userSig } = this.#options;
        const live = appScene === 'Live' || role === 'audience';
        try {
          trtc.setRemoteAudioVolume('*', 0);
          await trtc.enterRoom({
            sdkAppId: Number(sdkAppId),
            userId: this.#userId,
            userSig: String(userSig),
            privateMapKey,
            roomId,
            scene: live ? 'live' : 'rtc',
            role: role === 'audience' ? 'audience' : 'anchor',
            autoReceiveAudio: true,
            autoReceiveVideo: true,
            enableAutoPlayDialog: false,
          });
        } catch (error) {
          const failed = failure(entryCode(error), error);
          this.#emit('onCreateRoomResult', { result: failed.errorCode, errorMsg: failed.errorMsg });
          this.#emit('onErrorNotify', failed);
          throw failed;
        }
        this.#inRoom = true;
        this.#role = role;
        this.#emit('onCreateRoomResult', { result: 0, roomid: roomId });
        this.#look();
        const newer = appScene !== undefined || NEW_ROLES.includes(role);
        if (!newer && !this.#options.closeLocalMedia) this.startRTC({ role });
        return { roomid: roomId, userId: this.#userId };
      });
    }

    /** @param {RoomOptions} options @param {Succ} [succ] @param {Fail} [err] */
    enterRoom(options, succ, err) {
      this.createRoom(options, succ, err);
    }

    /** Leave; what the library opened is closed. @param {Succ} [succ] @param {Fail} [err] */
    quit(succ, err) {
      void this.#run(succ, err, CODE.NOT_INIT, async () => {
        const trtc = await this.#ready;
        this.#left();
        await trtc.exitRoom();
        await this.#inTurn(async () => {
          await this.#unsend(trtc);
          for (const track of this.#captured) track.stop();
          this.#captured.clear();
          this.#local = null;
        });
      });
    }

    // --- what is sent

    /**
     * Open camera and microphone, or the screen. Nothing is sent yet.
     * @param {CaptureOptions} options
     * @param {Succ} [succ] gets `{stream}`
     * @param {Fail} [err]
     */
    getLocalStream(options, succ, err) {
      void this.#run(succ, err, CODE.GET_USER_MEDIA, async () => ({ stream: await this.#capture(options ?? {}) }));
    }

    /**
     * Send a stream: the one given, the one captured before, or a new one.
     * @param {{stream?: MediaStream, role?: string} | 0 | null} [options]
     * @param {Succ} [succ]
     * @param {Fail} [err]
     */
    startRTC(options, succ, err) {
      const { stream, role = this.#role } = options || {};
      void this.#run(
        (result) => {
          this.#emit('onStartRTCResult', { result: 0 });
          succ?.(result);
        },
        (error) => {
          this.#emit('onStartRTCResult', { result: error.errorCode, errorMsg: error.errorMsg });
          if (!err) this.#emit('onErrorNotify', error);
          err?.(error);
        },
        CODE.START_RTC,
        () =>
          this.#inTurn(async () => {
            const trtc = await this.#ready;
            if (!this.#inRoom) throw failure(CODE.NOT_INIT, 'startRTC: enter a room first');
            const { video = true, audio = true } = this.#options;
            const sent = stream ?? this.#local ?? (await this.#capture({ role, video, audio }));
            await this.#send(trtc, sent, role);
            return { stream: sent };
          }),
      );
    }

    /** Stop sending; the stream stays open. @param {unknown} [_options] @param {Succ} [succ] @param {Fail} [err] */
    stopRTC(_options, succ, err) {
      void this.#run(succ, err, CODE.STOP_RTC, () => this.#inTurn(async () => this.#unsend(await this.#ready)));
    }

    /** Send another stream in place of the present one. @param {{stream: MediaStream, role?: string}} options @param {Succ} [succ] @param {Fail} [err] */
    updateStream(options, succ, err) {
      void this.#run(succ, err, CODE.START_RTC, () =>
        this.#inTurn(async () => {
          const trtc = await this.#ready;
          if (!options?.stream) throw failure(CODE.PARAM, 'updateStream: a stream is needed');
          if (!this.#inRoom) throw failure(CODE.NOT_INIT, 'updateStream: enter a room first');
          await this.#send(trtc, options.stream, options.role ?? this.#role);
        }),
      );
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

    /** Another picture profile; `anchor` and `audience` change what one may do (3.0). @param {string} role @param {Succ} [succ] @param {Fail} [err] */
    changeSpearRole(role, succ, err) {
      void this.#run(succ, err, CODE.PARAM, async () => {
        const trtc = await this.#ready;
        if (role === 'anchor' || role === 'audience') await trtc.switchRole(role);
        else if (this.#sending.video) await trtc.updateLocalVideo({ option: { profile: profile(role) } });
        this.#role = role;
      });
    }

    /** What is sent and not closed. */
    getLocalMediaStatus() {
      return { video: this.#sending.video && this.#open.video, audio: this.#sending.audio && this.#open.audio };
    }

    // --- devices

    /** @param {(devices: MediaDeviceInfo[]) => void} callback */
    getVideoDevices(callback) {
      void this.#list((TRTC) => TRTC.getCameraList(), callback);
    }

    /** @param {(devices: MediaDeviceInfo[]) => void} callback */
    getAudioDevices(callback) {
      void this.#list((TRTC) => TRTC.getMicrophoneList(), callback);
    }

    /** @param {(devices: MediaDeviceInfo[]) => void} callback */
    getSpeakerDevices(callback) {
      void this.#list((TRTC) => TRTC.getSpeakerList(), callback);
    }

    /** Use this camera from now on. @param {MediaDeviceInfo} device @param {Succ} [succ] @param {Fail} [err] */
    chooseVideoDevice(device, succ, err) {
      void this.#run(succ, err, CODE.GET_USER_MEDIA, () => this.#choose('video', device));
    }

    /** Use this microphone from now on. @param {MediaDeviceInfo} device @param {Succ} [succ] @param {Fail} [err] */
    chooseAudioDevice(device, succ, err) {
      void this.#run(succ, err, CODE.GET_USER_MEDIA, () => this.#choose('audio', device));
    }

    /** Play this element by this speaker. @param {HTMLMediaElement} element @param {MediaDeviceInfo} device @param {Succ} [succ] @param {Fail} [err] */
    chooseSpeakerDevice(element, device, succ, err) {
      void this.#run(succ, err, CODE.NOT_FOUND, async () => {
        if (!('setSinkId' in element)) throw failure(CODE.NOT_SUPPORTED, 'this browser chooses the speaker itself');
        await element.setSinkId(device.deviceId);
      });
    }

    // --- what is known

    /**
     * Numbers of what is sent, or with a `userId` of what comes from there, at each `interval` (ms) until `nomore()`.
     * @param {{userId?: string, interval?: number}} options
     * @param {(result: any) => void} callback
     * @param {Fail} [err]
     */
    getStats(options, callback, err) {
      const { userId = '', interval = STATS_MS } = options ?? {};
      const nomore = () => {
        clearInterval(timer);
        this.#stats.delete(nomore);
      };
      const read = () =>
        this.#read(userId === this.#userId ? '' : userId).then(
          (result) => this.#stats.has(nomore) && callback({ ...result, nomore }),
          (error) => {
            nomore();
            this.#fail(err, error.errorCode ? error : failure(CODE.NOT_FOUND, error));
          },
        );
      const timer = setInterval(() => void read(), Math.max(interval, 100));
      this.#stats.add(nomore);
      void read();
      return { nomore };
    }

    getUserId() {
      return this.#userId;
    }

    getOpenId() {
      return this.#userId;
    }

    getErrorCode() {
      return CODE;
    }

    /**
     * @param {string} name '*': every event; the handler then gets its name as a second argument
     * @param {(detail: any, name?: string) => void} handler
     */
    on(name, handler) {
      if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
      this.#listeners.get(name)?.add(handler);
    }

    /** @param {string} name @param {(detail: any, name?: string) => void} [handler] nothing: all of this name */
    off(name, handler) {
      if (handler) this.#listeners.get(name)?.delete(handler);
      else this.#listeners.delete(name);
    }

    // --- callbacks and events

    /** @param {string} name @param {any} detail */
    #emit(name, detail) {
      for (const handler of [...(this.#listeners.get(name) ?? [])]) safely(() => handler(detail));
      for (const handler of [...(this.#listeners.get('*') ?? [])]) safely(() => handler(detail, name));
    }

    /** @param {Failure} error */
    #notify(error) {
      this.#emit('onErrorNotify', error);
    }

    /** @param {Failure} error */
    #relayTimeout(error) {
      this.#emit('onRelayTimeout', error);
      this.#notify(error);
    }

    /** @param {Fail | undefined} err @param {Failure} error */
    #fail(err, error) {
      if (err) safely(() => err(error));
      else this.#notify(error);
    }

    /**
     * @param {Succ | undefined} succ
     * @param {Fail | undefined} err
     * @param {number} code for errors that have none of ours
     * @param {() => Promise<unknown>} act
     */
    async #run(succ, err, code, act) {
      let result;
      try {
        result = await act();
      } catch (error) {
        const known = /** @type {any} */ (error)?.errorCode !== undefined;
        safely(() => err?.(known ? /** @type {any} */ (error) : failure(code, error)));
        return;
      }
      safely(() => succ?.(result));
    }

    /** @template T @param {() => Promise<T>} act @returns {Promise<T>} */
    #inTurn(act) {
      const done = this.#last.then(act);
      this.#last = done.catch(() => undefined);
      return done;
    }

    // --- the own media

    /** @param {CaptureOptions} options */
    async #capture({ audio = true, video = true, role, screen, videoDevice, audioDevice }) {
      const { width, height, frameRate } = profile(role ?? this.#role);
      const camera = (videoDevice ?? this.#device.video)?.deviceId;
      const microphone = (audioDevice ?? this.#device.audio)?.deviceId;
      let stream;
      try {
        if (!navigator.mediaDevices) throw new Error('this origin is insecure: the browser gives no camera');
        stream = screen
          ? await navigator.mediaDevices.getDisplayMedia({ video: true, audio })
          : await navigator.mediaDevices.getUserMedia({
              video: video && { width, height, frameRate, ...(camera && { deviceId: { exact: camera } }) },
              audio: audio && { echoCancellation: true, ...(microphone && { deviceId: { exact: microphone } }) },
            });
      } catch (error) {
        throw failure(CODE.GET_USER_MEDIA, error);
      }
      this.#local = stream;
      for (const track of stream.getTracks()) {
        this.#captured.add(track);
        track.addEventListener('ended', () => {
          if (!stream.active) this.#streamNotify('inactive', true, stream, this.#userId, '', 2);
        });
      }
      this.#localAdd(stream);
      return stream;
    }

    /** @param {MediaStream} stream */
    #localAdd(stream) {
      this.#emit('onLocalStreamAdd', { stream });
      this.#streamNotify('onadd', true, stream, this.#userId, '', stream.getVideoTracks().length ? 2 : 1);
    }

    /** @param {Trtc} trtc @param {MediaStream} stream @param {string} role */
    async #send(trtc, stream, role) {
      const [videoTrack] = stream.getVideoTracks();
      const [audioTrack] = stream.getAudioTracks();
      if (audioTrack) {
        if (this.#sending.audio) await trtc.updateLocalAudio({ option: { audioTrack } });
        else await trtc.startLocalAudio({ mute: !this.#open.audio, option: { audioTrack } });
      } else if (this.#sending.audio) {
        await trtc.stopLocalAudio();
      }
      this.#sending.audio = !!audioTrack;
      if (videoTrack) {
        const option = { videoTrack, profile: profile(role), mirror: false };
        if (this.#sending.video) await trtc.updateLocalVideo({ option });
        else await trtc.startLocalVideo({ mute: !this.#open.video, option });
      } else if (this.#sending.video) {
        await trtc.stopLocalVideo();
      }
      this.#sending.video = !!videoTrack;
      if (this.#local !== stream) {
        this.#local = stream;
        this.#localAdd(stream);
      }
    }

    /** @param {Trtc} trtc */
    async #unsend(trtc) {
      if (this.#sending.audio) await trtc.stopLocalAudio();
      if (this.#sending.video) await trtc.stopLocalVideo();
      this.#sending = { audio: false, video: false };
    }

    /** @param {Kind} kind @param {boolean} muted */
    #mute(kind, muted) {
      this.#open[kind] = !muted;
      void this.#inTurn(async () => {
        const trtc = await this.#ready;
        const mute = !this.#open[kind];
        if (kind === 'audio' && this.#sending.audio) await trtc.updateLocalAudio({ mute });
        if (kind === 'video' && this.#sending.video) await trtc.updateLocalVideo({ mute });
      }).catch((error) => this.#notify(error.errorCode ? error : failure(CODE.START_RTC, error)));
      return true;
    }

    /** @param {Kind} kind @param {MediaDeviceInfo} device */
    #choose(kind, device) {
      return this.#inTurn(async () => {
        if (!device?.deviceId) throw failure(CODE.PARAM, 'a device of the list is needed');
        const stream = this.#local;
        const before = stream && (kind === 'audio' ? stream.getAudioTracks()[0] : stream.getVideoTracks()[0]);
        if (stream && before) {
          const { width, height, frameRate } = profile(this.#role);
          const deviceId = { exact: device.deviceId };
          const fresh = await navigator.mediaDevices.getUserMedia(
            kind === 'audio' ? { audio: { deviceId, echoCancellation: true } } : { video: { deviceId, width, height, frameRate } },
          );
          const [track] = fresh.getTracks();
          if (!track) throw failure(CODE.NOT_FOUND, 'the device gives nothing');
          const trtc = await this.#ready;
          if (kind === 'audio' && this.#sending.audio) await trtc.updateLocalAudio({ option: { audioTrack: track } });
          if (kind === 'video' && this.#sending.video) await trtc.updateLocalVideo({ option: { videoTrack: track } });
          stream.removeTrack(before);
          stream.addTrack(track);
          if (this.#captured.delete(before)) before.stop();
          this.#captured.add(track);
          this.#emit('onLocalStreamAdd', { stream });
        }
        this.#device[kind] = device;
      });
    }

    /** @param {(TRTC: TrtcClass) => Promise<MediaDeviceInfo[]>} ask @param {(devices: MediaDeviceInfo[]) => void} callback */
    async #list(ask, callback) {
      /** @type {MediaDeviceInfo[]} */
      let devices = [];
      try {
        devices = await ask(await load());
      } catch (error) {
        this.#notify(failure(CODE.GET_USER_MEDIA, error));
      }
      safely(() => callback(devices));
    }

    // --- the others

    /** Compare what is there with what the page was told, once all of this moment is known. */
    #look() {
      if (this.#looking) return;
      this.#looking = true;
      queueMicrotask(() => {
        this.#looking = false;
        if (this.#inRoom) this.#compare();
      });
    }

    #compare() {
      const streams = this.#trtc?.getRoom()?.streams ?? [];
      const there = new Set();
      for (const info of streams) {
        if (!info.audio && !info.video) continue;
        const kind = info.stream === 'aux' ? 'sub' : 'main';
        there.add(`${info.userId}/${kind}`);
        this.#update(info, kind);
      }
      if (!this.#trtc?.getRoom()) return; // on the way back: nobody has left yet
      for (const key of [...this.#remotes.keys()]) if (!there.has(key)) this.#remove(key);
    }

    /** @param {import('./incoming.js').StreamInfo} info @param {'main' | 'sub'} kind */
    #update(info, kind) {
      const { userId } = info;
      const key = `${userId}/${kind}`;
      const videoType = info.video ? (kind === 'sub' ? 7 : 2) : 1;
      let remote = this.#remotes.get(key);
      if (!remote) {
        const videoId = `${tinyId(userId)}_${Math.random().toString(36).slice(2, 10)}`;
        remote = { userId, kind, videoId, tracks: '', stream: null, videoType, audioMuted: false, videoMuted: false };
        this.#remotes.set(key, remote);
        this.#emit('onPeerConnectionAdd', { userId, tinyId: tinyId(userId) });
        this.#options.peerAddNotify?.({ userId, openId: userId, videoId });
        this.#tell(remote);
      }
      const tracks = [
        info.audio ? this.#trtc?.getAudioTrack({ userId, streamType: kind }) : null,
        info.video ? this.#trtc?.getVideoTrack({ userId, streamType: kind }) : null,
      ].filter((track) => track instanceof MediaStreamTrack);
      const ids = tracks.map((track) => track.id).join(' ');
      if (ids !== remote.tracks || videoType !== remote.videoType) {
        Object.assign(remote, { tracks: ids, videoType, stream: tracks.length ? new MediaStream(tracks) : null });
        this.#tell(remote);
        if (remote.stream) {
          this.#iceUp();
          this.#watch(remote, remote.stream);
          this.#streamNotify('onadd', false, remote.stream, userId, remote.videoId, videoType);
        }
      }
      if (kind === 'main') this.#mutes(remote, info);
    }

    /** @param {Remote} remote @param {MediaStream} stream */
    #watch({ videoId }, stream) {
      for (const track of stream.getTracks()) {
        for (const state of ['mute', 'unmute', 'ended']) {
          track.addEventListener(state, () => {
            const current = [...this.#remotes.values()].some((remote) => remote.stream === stream);
            if (current) this.#emit('onRemoteStreamStateChange', { type: track.kind, state, videoId });
          });
        }
      }
    }

    /** @param {Remote} remote */
    #tell({ userId, stream, videoId, videoType }) {
      this.#emit('onRemoteStreamUpdate', { userId, openId: userId, stream, videoId, videoType });
    }

    /** @param {Remote} remote @param {{audioMuted: boolean, videoMuted: boolean}} info */
    #mutes(remote, { audioMuted, videoMuted }) {
      const { userId } = remote;
      if (audioMuted !== remote.audioMuted) {
        this.#emit(audioMuted ? 'onMuteAudio' : 'onUnmuteAudio', { userId });
        this.#emit('onMediaChange', { userId, type: audioMuted ? 4 : 3 });
      }
      if (videoMuted !== remote.videoMuted) {
        this.#emit(videoMuted ? 'onMuteVideo' : 'onUnmuteVideo', { userId });
        this.#emit('onMediaChange', { userId, type: videoMuted ? 2 : 1 });
      }
      Object.assign(remote, { audioMuted, videoMuted });
    }

    /** @param {string} key */
    #remove(key) {
      const remote = this.#remotes.get(key);
      if (!remote) return;
      this.#remotes.delete(key);
      const { userId, videoId, stream, videoType } = remote;
      this.#streamNotify('ended', false, stream, userId, videoId, videoType);
      this.#emit('onRemoteStreamRemove', { userId, openId: userId, videoId });
      this.#emit('onPeerConnectionClose', { userId, tinyId: tinyId(userId) });
    }

    /**
     * @param {'onadd' | 'inactive' | 'ended'} event
     * @param {boolean} isLocal
     * @param {MediaStream | null} stream
     * @param {string} userId
     * @param {string} videoId
     * @param {number} type as videoType
     */
    #streamNotify(event, isLocal, stream, userId, videoId, type) {
      this.#emit('onStreamNotify', { event, isLocal, stream, type, userId, videoId });
    }

    // --- the connection

    /** @param {string} state */
    #connection(state) {
      if (state === 'CONNECTED') {
        if (this.#wasConnected) {
          this.#emit('onWebSocketReconnection', { userId: this.#userId });
          this.#emit('onWebSocketNotify', { errorCode: CODE.SUCC, errorMsg: 'connected again', extInfo: {} });
        } else {
          this.#emit('onUserDefinedWebRTCEventNotice', { event: 'websocket_init_ok', info: {} });
        }
        this.#wasConnected = true;
      } else if (state === 'CONNECTING' && this.#wasConnected && this.#inRoom) {
        const closed = failure(CODE.WS_CLOSE, 'the connection to the server is lost; it is tried again');
        this.#emit('onWebSocketClose', closed);
        this.#emit('onWebSocketNotify', closed);
        this.#emit('onUserDefinedWebRTCEventNotice', { event: 'on_websocket_close_by_network_broken', info: {} });
      }
    }

    #iceUp() {
      if (this.#iceBuilt) return;
      this.#iceBuilt = true;
      this.#emit('onIceConnectionBuild', { result: 0, state: 'connected' });
    }

    /** The stay is over. */
    #left() {
      if (!this.#inRoom) return;
      this.#inRoom = this.#wasConnected = false;
      for (const end of [...this.#stats]) end();
      for (const key of [...this.#remotes.keys()]) this.#remove(key);
      if (this.#iceBuilt) this.#emit('onIceConnectionClose', { result: 0, state: 'closed' });
      this.#iceBuilt = false;
    }

    /** @param {string} userId '' for what is sent */
    async #read(userId) {
      const trtc = await this.#ready;
      if (!this.#inRoom) throw failure(CODE.NOT_INIT, 'getStats: enter a room first');
      if (userId && ![...this.#remotes.values()].some((remote) => remote.userId === userId)) {
        throw failure(CODE.PEER_NOT_FOUND, `getStats: ${userId} sends nothing`);
      }
      const { up, down } = await trtc.getStats();
      const report = userId ? down : up;
      /** @type {any[]} */
      const entries = [];
      report?.forEach((/** @type {any} */ entry) => entries.push(entry));
      const result = { video: {}, audio: {} };
      for (const kind of /** @type {const} */ (['video', 'audio'])) {
        const track = userId && (kind === 'video' ? trtc.getVideoTrack({ userId }) : trtc.getAudioTrack({ userId }));
        const rtp = entries.find((entry) =>
          userId
            ? entry.type === 'inbound-rtp' && entry.kind === kind && track && entry.trackIdentifier === track.id
            : entry.type === 'outbound-rtp' && entry.kind === kind,
        );
        if (!rtp) continue;
        const far = entries.find((entry) => entry.type === 'remote-inbound-rtp' && entry.localId === rtp.id);
        const codec = entries.find((entry) => entry.id === rtp.codecId)?.mimeType?.split('/')[1] ?? '';
        const size = kind === 'video' ? { width: rtp.frameWidth ?? 0, height: rtp.frameHeight ?? 0 } : {};
        const packets = userId ? { packetsReceived: rtp.packetsReceived } : { packetsSent: rtp.packetsSent };
        result[kind] = { ssrc: rtp.ssrc, codec, ...packets, packetsLost: (userId ? rtp : far)?.packetsLost ?? 0, ...size };
      }
      return result;
    }
  }

  /** @param {() => void} act of the page: what it throws disturbs nobody */
  function safely(act) {
    try {
      act();
    } catch (error) {
      console.error(error);
    }
  }

  Object.assign(window, { WebRTCAPI });
})();
