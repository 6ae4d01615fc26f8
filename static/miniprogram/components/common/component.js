/**
 * What the room components have in common as components of a page: their tags' events, the methods that start and stop,
 * and the layout. Behind each stands its room, made when it is first needed.
 */

const config = require('../../config.js');
const { kindOf } = require('./layout.js');

/**
 * @typedef {import('./stage.js').Screen} Screen
 * @typedef {{
 *   stage: import('./stage.js').Stage,
 *   start: () => void,
 *   stop: () => void,
 *   pause: () => void,
 *   resume: () => void,
 *   layout: () => string,
 *   relayout: () => void,
 *   pusherState: (code: number, message: string) => void,
 *   pusherError: (code: number, message: string) => void,
 * }} Room `layout`: the style of the places now
 */

/** Origin of the gateway. Old pages name the address of a service, which stands on the same. @param {string} address */
function origin(address) {
  const full = /^[a-z]+:\/\//.test(address) ? address : `https://${address}`;
  return full.split('/').slice(0, 3).join('/');
}

/** The gateway that a component's page has named, or the sample's. @param {string} [address] */
const serverOf = (address) => origin(address || config.server);

const idle = () => {};
/** Of a tag that is not drawn yet, or no more: it starts when it is drawn. @type {any} */
const NO_TAG = { start: idle, stop: idle, play: idle, pause: idle, resume: idle, switchCamera: idle };

/** @param {any} component @returns {Screen} */
const screenOf = (component) => ({
  show: (scene, done) => component.setData(scene, done),
  // Older base libraries take an id and the component; newer ones look for the page's one pusher.
  pusher: () => /** @type {any} */ (wx).createLivePusherContext('rtcpusher', component) || NO_TAG,
  player: (id) => wx.createLivePlayerContext(id, component) || NO_TAG,
});

/** @template {Room} R @param {(component: any, screen: Screen) => R} make */
function roomComponent(make) {
  /** @param {any} component @returns {R} */
  const of = (component) => component.room_ || (component.room_ = make(component, screenOf(component)));

  /** @type {Record<string, (this: any, ...rest: any[]) => any> & {
   *   relayout: (this: any) => void, cameraChanged: (this: any) => void }} */
  const methods = {
    /** Enter the room of the properties. */
    start() {
      of(this).start();
    },

    /** Leave it. */
    stop() {
      of(this).stop();
    },

    pause() {
      of(this).pause();
    },

    resume() {
      of(this).resume();
    },

    switchCamera() {
      of(this).stage.pusher.switchCamera();
    },

    /** A property that places depend on has changed. */
    relayout() {
      if (!this.data.onPage) return;
      of(this).relayout();
      this.drawLayout();
    },

    /** Give the places their style; with tags of another kind these start anew. */
    drawLayout() {
      const room = of(this);
      const layout = room.layout();
      if (!this.data.onPage || layout === this.data.layout) return;
      const kind = kindOf(layout);
      const redrawn = kind !== this.data.kind;
      this.setData({ layout, kind }, () => {
        if (redrawn) room.stage.redrawn();
      });
    },

    /** A pusher reads its camera's switch when it starts. */
    cameraChanged() {
      if (this.data.onPage) of(this).stage.restartPusher();
    },

    // --- what the tags say

    /** @param {any} event */
    onPush(event) {
      const { code, message } = event.detail;
      of(this).stage.pusher.event(code);
      of(this).pusherState(code, message);
    },

    /** @param {any} event */
    onPushError(event) {
      of(this).pusherError(event.detail.errCode, event.detail.errMsg);
    },

    /** @param {any} event */
    onPlay(event) {
      of(this).stage.playerState(event.currentTarget.dataset.uid, event.detail.code);
    },

    /** A tap on somebody who is not played. @param {any} event */
    onWanted(event) {
      of(this).stage.showVideo(event.currentTarget.dataset.uid, true);
    },
  };

  return {
    of,
    methods,
    data: {
      /** of the places, and of their tags; nothing is drawn before the properties are known */
      layout: '',
      kind: '',
      pushURL: '',
      /** @type {import('./layout.js').RoomMember[]} */
      members: [],
      place: 0,
      onPage: false,
    },
    /** @this {any} */
    ready() {
      this.setData({ onPage: true });
      this.relayout();
    },
    /** @this {any} */
    detached() {
      of(this).stop();
    },
  };
}

module.exports = { roomComponent, serverOf };
