/**
 * `<live-room>`: a broadcast in a room of RoomService (`live_room`): its presenter, its audience, and those of the
 * audience who are linked. Properties, methods and events are those of the vendor's component of December 2018
 * (docs/miniprogram.md lists them); the login is done by the page, with `utils/liveroom.js`, before `start()`.
 */

const { roomComponent } = require('../common/component.js');
const { Live } = require('./live.js');

const room = roomComponent(
  (component, screen) =>
    new Live(
      {
        settings: () => ({
          presenter: component.data.role === 'presenter',
          roomID: component.data.roomid || component.data.roomID || component.data.roomId,
          roomName: component.data.roomname || component.data.roomName,
          template: component.data.template,
          muted: component.data.muted,
        }),
        raise(tag, code, detail) {
          // The code and the documents of that time do not agree on the name.
          component.triggerEvent('RoomEvent', { tag, code, detail });
          component.triggerEvent('onRoomEvent', { tag, code, detail });
        },
        linked: (linked) => component.setData({ linked }),
        drawLayout: () => component.drawLayout(),
      },
      screen,
    ),
);

Component({
  options: { multipleSlots: true },

  properties: {
    /** presenter or audience */
    role: { type: String, value: 'audience' },
    /** of the audience: the room to watch; a presenter may choose the id of its room by it */
    roomid: { type: String, value: '' },
    roomID: { type: String, value: '' },
    roomId: { type: String, value: '' },
    roomname: { type: String, value: '' },
    roomName: { type: String, value: '' },
    /** float, 1v3, vertical1v3 (three guests), 1v1 (one) */
    template: {
      type: String,
      value: 'float',
      observer() {
        this.relayout();
      },
    },
    /** 0 to 9 */
    beauty: { type: Number, value: 5 },
    /** our microphone; of one who only watches, what it hears */
    muted: {
      type: Boolean,
      value: false,
      observer() {
        room.of(this).mutedChanged();
      },
    },
    debug: { type: Boolean, value: false },
    /** push sound only */
    pureaudio: {
      type: Boolean,
      value: false,
      observer() {
        this.cameraChanged();
      },
    },
    /** shown instead of our picture while we are in background */
    waitingImg: { type: String, value: '' },
    /** shown over a picture that has not come yet */
    loadingImg: { type: String, value: '' },
  },

  data: {
    ...room.data,
    /** we push as a guest */
    linked: false,
  },
  ready: room.ready,
  detached: room.detached,

  methods: {
    ...room.methods,

    /** Presenter: answer the `joinPusher` event, whose detail is the guest. @param {boolean} agree @param {any} guest */
    respondJoinReq(agree, guest) {
      room.of(this).respondJoinReq(agree, guest);
    },

    /** Audience: ask to be linked. */
    requestJoinPusher() {
      room.of(this).requestJoinPusher();
    },

    /** As the component of that time spelled it. */
    requestJionPusher() {
      room.of(this).requestJoinPusher();
    },

    /** Guest: end the link, go on watching. */
    quitLink() {
      room.of(this).quitLink();
    },

    /** Presenter: end a guest's link. @param {any} event a tap on something with `data-userid`, or the user id */
    kickoutSubPusher(event) {
      room.of(this).kickout(typeof event === 'string' ? event : event.currentTarget.dataset.userid);
    },

    /** @param {string} text */
    sendTextMsg(text) {
      room.of(this).sendTextMsg(text);
    },

    toggleDebug() {
      this.setData({ debug: !this.data.debug });
    },

    toggleBeauty() {
      this.setData({ beauty: this.data.beauty === 5 ? 0 : 5 });
    },

    toggleMuted() {
      this.setData({ muted: !this.data.muted });
    },
  },
});
