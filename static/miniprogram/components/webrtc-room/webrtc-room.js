/**
 * `<webrtc-room>`: a mini program in one room with browsers. Properties, methods and events are those of the vendor's
 * component of December 2018 (docs/miniprogram.md lists them); what happens between them is in call.js.
 */

const config = require('../../config.js');
const { Call } = require('./call.js');
const { templateOf } = require('./layout.js');

/**
 * @typedef {import('./im_handler.js').Sent} Sent
 * @typedef {import('./im_handler.js').Failed} Failed
 * @typedef {import('./im_handler.js').Custom} Custom
 */

/** Origin of the gateway. Old pages name the address of the room service, which stands on the same. @param {string} address */
function origin(address) {
  const full = /^[a-z]+:\/\//.test(address) ? address : `https://${address}`;
  return full.split('/').slice(0, 3).join('/');
}

/** @param {any} component @returns {Call} the stay of this component: one at a time */
function callOf(component) {
  if (!component.call_) {
    component.call_ = new Call({
      settings: () =>
        Object.assign({}, component.data, { server: origin(component.data.serverDomain || config.server) }),
      show: (scene, done) => component.setData(scene, done),
      failed: (code, detail) => component.triggerEvent('RoomEvent', { tag: 'error', code, detail }),
      imEvent: (tag, code, detail) => component.triggerEvent('IMEvent', { tag, code, detail }),
      pusher: () => component.pusher_ || (component.pusher_ = wx.createLivePusherContext()),
      player: (id) => wx.createLivePlayerContext(id, component),
    });
  }
  return component.call_;
}

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

  data: {
    /** the template in use; nothing is drawn before the properties are known, since another one makes new tags */
    layout: '',
    pushURL: '',
    /** @type {import('./layout.js').RoomMember[]} */
    members: [],
    place: 0,
    onPage: false,
  },

  ready() {
    this.setData({ onPage: true });
    this.relayout();
  },

  detached() {
    callOf(this).stop();
  },

  methods: {
    /** Enter the room of the properties, publish, play the others. */
    start() {
      callOf(this).start();
    },

    /** Leave it. */
    stop() {
      callOf(this).stop();
    },

    pause() {
      callOf(this).pause();
    },

    resume() {
      callOf(this).resume();
    },

    switchCamera() {
      callOf(this).switchCamera();
    },

    /**
     * @param {boolean} enable
     * @param {string} [userID] whose picture is shown; nobody: our own camera
     */
    enableVideo(enable, userID) {
      if (userID && userID !== this.data.userID) callOf(this).showVideo(userID, enable);
      else this.setData({ enableCamera: enable });
    },

    /**
     * @param {boolean} enable
     * @param {string} [userID] whose sound is heard; nobody: our own microphone
     */
    enableAudio(enable, userID) {
      if (userID && userID !== this.data.userID) callOf(this).hearAudio(userID, enable);
      else this.setData({ muted: !enable });
    },

    /** @param {string} to @param {string} text @param {Sent} [succ] @param {Failed} [fail] */
    sendC2CTextMsg(to, text, succ, fail) {
      callOf(this).im.sendText(text, to || '', succ, fail);
    },

    /** @param {string} to @param {Custom} message @param {Sent} [succ] @param {Failed} [fail] */
    sendC2CCustomMsg(to, message, succ, fail) {
      callOf(this).im.sendCustom(message, to || '', succ, fail);
    },

    /** @param {string} text @param {Sent} [succ] @param {Failed} [fail] */
    sendGroupTextMsg(text, succ, fail) {
      callOf(this).im.sendText(text, null, succ, fail);
    },

    /** @param {Custom} message @param {Sent} [succ] @param {Failed} [fail] */
    sendGroupCustomMsg(message, succ, fail) {
      callOf(this).im.sendCustom(message, null, succ, fail);
    },

    // --- for the template

    relayout() {
      if (!this.data.onPage) return;
      const layout = templateOf(this.data.template);
      const component = /** @type {any} */ (this);
      if (layout === this.data.layout) {
        callOf(this).relayout();
        return;
      }
      this.setData({ layout }, () => {
        component.pusher_ = wx.createLivePusherContext();
        callOf(this).redrawn();
      });
    },

    cameraChanged() {
      if (!this.data.onPage) return;
      callOf(this).restartPusher();
    },

    /** @param {any} event */
    onPush(event) {
      callOf(this).pusherState(event.detail.code, event.detail.message);
    },

    /** @param {any} event */
    onPushError(event) {
      callOf(this).pusherError(event.detail.errCode, event.detail.errMsg);
    },

    /** @param {any} event */
    onPlay(event) {
      callOf(this).playerState(event.currentTarget.dataset.uid, event.detail.code);
    },

    /** A tap on somebody who is not played. @param {any} event */
    onWanted(event) {
      this.enableVideo(true, event.currentTarget.dataset.uid);
    },
  },
});
