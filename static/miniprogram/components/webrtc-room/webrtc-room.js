/**
 * `<webrtc-room>`: a mini program in one room with browsers. Properties, methods and events are those of the vendor's
 * component of December 2018 (docs/miniprogram.md lists them); what happens between them is in call.js.
 */

const { roomComponent, serverOf } = require('../common/component.js');
const { Call } = require('./call.js');

/**
 * @typedef {import('./im_handler.js').Sent} Sent
 * @typedef {import('./im_handler.js').Failed} Failed
 * @typedef {import('./im_handler.js').Custom} Custom
 */

const room = roomComponent(
  (component, screen) =>
    new Call(
      {
        settings: () => Object.assign({}, component.data, { server: serverOf(component.data.serverDomain) }),
        failed: (code, detail) => component.triggerEvent('RoomEvent', { tag: 'error', code, detail }),
        muted: (mutes) => component.triggerEvent('RoomEvent', { tag: 'muted', code: 0, detail: mutes }),
        imEvent: (tag, code, detail) => component.triggerEvent('IMEvent', { tag, code, detail }),
      },
      screen,
    ),
);

Component({
  properties: {
    roomID: { type: Number, value: 0 },
    roomName: { type: String, value: '' },
    userID: { type: String, value: '' },
    userName: { type: String, value: '' },
    userSig: { type: String, value: '' },
    sdkAppID: { type: Number, value: 0 },
    privateMapKey: { type: String, value: '' },
    /** 1v1, bigsmall (one remote member); 1v3, 1u3d, 1l3r, grid, float (three) */
    template: {
      type: String,
      value: '',
      observer() {
        this.relayout();
      },
    },
    beauty: { type: Number, value: 5 },
    whiteness: { type: Number, value: 5 },
    /** 3:4 or 9:16 */
    aspect: { type: String, value: '3:4' },
    /** kbit/s */
    minBitrate: { type: Number, value: 200 },
    maxBitrate: { type: Number, value: 400 },
    muted: { type: Boolean, value: false },
    debug: { type: Boolean, value: false },
    enableIM: { type: Boolean, value: true },
    /** who gets the large place of 1u3d and 1l3r; nobody: we do */
    roomCreator: {
      type: String,
      value: '',
      observer() {
        this.relayout();
      },
    },
    /** accepted for old pages: there is one server, and it knows neither recordings nor sound-only rooms yet */
    useCloud: { type: Boolean, value: true },
    pureAudioPushMod: { type: Number, value: 0 },
    recordId: { type: Number, value: /** @type {any} */ (null) },
    /** false: a remote member is played when its picture is tapped, or by enableVideo(true, userID) */
    autoplay: { type: Boolean, value: false },
    enableCamera: {
      type: Boolean,
      value: true,
      observer() {
        this.cameraChanged();
      },
    },
    /** where the small picture of 1v1 and bigsmall stands, as CSS lengths */
    smallViewLeft: { type: String, value: '1vw' },
    smallViewTop: { type: String, value: '1vw' },
    smallViewWidth: { type: String, value: '30vw' },
    smallViewHeight: { type: String, value: '40vw' },
    /** shown while nobody else is there, and instead of our picture while we are in background */
    waitingImg: { type: String, value: '' },
    /** shown over a picture that has not come yet */
    loadingImg: { type: String, value: '' },
    /** the gateway, https://name[:port]; empty: config.js says it */
    serverDomain: { type: String, value: '' },
  },

  data: { ...room.data, pushes: true },
  ready: room.ready,
  detached: room.detached,

  methods: {
    ...room.methods,

    /**
     * @param {boolean} enable
     * @param {string} [userID] whose picture is shown; nobody: our own camera
     */
    enableVideo(enable, userID) {
      if (userID && userID !== this.data.userID) room.of(this).stage.showVideo(userID, enable);
      else this.setData({ enableCamera: enable });
    },

    /**
     * @param {boolean} enable
     * @param {string} [userID] whose sound is heard; nobody: our own microphone
     */
    enableAudio(enable, userID) {
      if (userID && userID !== this.data.userID) room.of(this).stage.hearAudio(userID, enable);
      else this.setData({ muted: !enable });
    },

    /** @param {string} to @param {string} text @param {Sent} [succ] @param {Failed} [fail] */
    sendC2CTextMsg(to, text, succ, fail) {
      room.of(this).im.sendText(text, to || '', succ, fail);
    },

    /** @param {string} to @param {Custom} message @param {Sent} [succ] @param {Failed} [fail] */
    sendC2CCustomMsg(to, message, succ, fail) {
      room.of(this).im.sendCustom(message, to || '', succ, fail);
    },

    /** @param {string} text @param {Sent} [succ] @param {Failed} [fail] */
    sendGroupTextMsg(text, succ, fail) {
      room.of(this).im.sendText(text, null, succ, fail);
    },

    /** @param {Custom} message @param {Sent} [succ] @param {Failed} [fail] */
    sendGroupCustomMsg(message, succ, fail) {
      room.of(this).im.sendCustom(message, null, succ, fail);
    },
  },
});
