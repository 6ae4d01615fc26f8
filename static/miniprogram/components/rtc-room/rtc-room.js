/**
 * `<rtc-room>`: a call of two (`double_room`) or four (`multi_room`) in a room of RoomService. Properties, methods and
 * events are those of the vendor's component of December 2018 (docs/miniprogram.md lists them); the login is done by
 * the page, with `utils/rtcroom.js`, before `start()`.
 */

const rtcroom = require('../../utils/rtcroom.js');
const { roomComponent } = require('../common/component.js');
const { Call } = require('./call.js');

const room = roomComponent((component, screen) => {
  return new Call(
    {
      settings: () => ({
        roomID: component.data.roomID || component.data.roomid || component.data.roomId,
        roomInfo: component.data.roomInfo || component.data.roomName || component.data.roomname,
        template: component.data.template,
      }),
      raise(tag, code, detail) {
        // The code and the documents of that time do not agree on the name.
        component.triggerEvent('onRoomEvent', { tag, code, detail });
        component.triggerEvent('RoomEvent', { tag, code, detail });
      },
    },
    screen,
  );
});

Component({
  options: { multipleSlots: true },

  properties: {
    /** the room to enter; empty: `start()` makes one */
    roomID: { type: String, value: '' },
    roomid: { type: String, value: '' },
    roomId: { type: String, value: '' },
    /** free text about the room, its name usually */
    roomInfo: { type: String, value: '' },
    roomName: { type: String, value: '' },
    roomname: { type: String, value: '' },
    /** 1v1, bigsmall (one remote member); 1v3, grid, float, 1u3d, 1l3r, vertical1v3 (three) */
    template: {
      type: String,
      value: '',
      observer() {
        this.relayout();
      },
    },
    /** 0 to 9 */
    beauty: { type: Number, value: 5 },
    whiteness: { type: Number, value: 0 },
    /** 3:4 or 9:16 */
    aspect: { type: String, value: '3:4' },
    /** kbit/s */
    minBitrate: { type: Number, value: 200 },
    maxBitrate: { type: Number, value: 400 },
    muted: { type: Boolean, value: false },
    debug: { type: Boolean, value: false },
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
  },

  data: room.data,
  ready: room.ready,
  detached: room.detached,

  methods: {
    ...room.methods,

    /**
     * @param {string} text
     * @param {() => void} [succ]
     * @param {(failure: import('../../utils/roomclient.js').Failure) => void} [fail]
     */
    sendTextMsg(text, succ, fail) {
      if (text) rtcroom.sendRoomTextMsg({ data: { msg: text }, success: succ, fail });
    },

    getAccountInfo() {
      return Object.assign({}, rtcroom.getAccountInfo());
    },

    getRoomInfo() {
      return Object.assign({}, rtcroom.getRoomInfo());
    },
  },
});
