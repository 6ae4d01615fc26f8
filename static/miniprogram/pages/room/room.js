/**
 * A room with browsers: tickets from the room service, the component, a heartbeat, chat.
 *
 * The flow is that of the vendor's demo: get_login_info, create_room or enter_room, a heartbeat each 7 s, the
 * component's properties, `start()`. Chat messages are custom elements with the text in `data` and `TEXT` in `ext`,
 * as browsers and older mini programs send them; plain text messages are shown too.
 */

const { withLine } = require('../../utils/lines.js');
const webrtcroom = require('../../utils/webrtcroom.js');
const { ERRORS, words } = require('../../utils/words.js');

const MOST_BEATS_LOST = 2;
const CONNECTION = { RECONNECT: 1, OFF: 9999 };

Page({
  data: {
    words: /** @type {Record<string, string>} */ ({}),
    template: '1v3',
    userID: '',
    userSig: '',
    sdkAppID: 0,
    roomID: 0,
    roomName: '',
    privateMapKey: '',
    muted: false,
    camera: true,
    tools: /** @type {{ name: string, text: string, kind?: string }[]} */ ([]),
    lines: /** @type {import('../../utils/lines.js').ChatLine[]} */ ([]),
    trouble: '',
    notice: '',
    active: false,
    beatsLost: 0,
  },

  /** @param {Record<string, string | undefined>} query */
  onLoad(query) {
    const text = (/** @type {string} */ name) => decodeURIComponent(query[name] || '');
    this.setData({
      words: words(),
      userID: text('userID'),
      roomName: text('roomName'),
      roomID: Number(text('roomID')) || 0,
      template: text('template') || '1v3',
    });
    this.setData({ tools: this.tools() });
    wx.setNavigationBarTitle({ title: text('roomName') || text('roomID') });
  },

  onReady() {
    this.login();
  },

  onShow() {
    if (this.data.active) this.component().resume();
    wx.setKeepScreenOn({ keepScreenOn: true });
  },

  onHide() {
    if (this.data.active) this.component().pause();
  },

  onUnload() {
    this.leave();
  },

  component() {
    return /** @type {any} */ (this.selectComponent('#webrtcroom'));
  },

  // --- the way in

  login() {
    this.setData({ trouble: '', notice: '' });
    const failed = (/** @type {{ errCode: number, errMsg: string }} */ error) => this.fail(error.errMsg);
    // That of an earlier visit may belong to another name.
    webrtcroom.userSig = '';
    webrtcroom.getLoginInfo(
      this.data.userID,
      ({ data }) => {
        webrtcroom.userSig = data.userSig;
        this.setData({ userID: data.userID, userSig: data.userSig, sdkAppID: Number(data.sdkAppID) });
        const { roomID, roomName } = this.data;
        if (roomID) webrtcroom.enterRoom(data.userID, roomID, (result) => this.enter(result.data), failed);
        else webrtcroom.createRoom(data.userID, roomName, (result) => this.enter(result.data), failed);
      },
      failed,
    );
  },

  /** @param {{ roomID: string, privateMapKey: string }} room */
  enter({ roomID, privateMapKey }) {
    this.setData({ roomID: Number(roomID), privateMapKey, active: true, beatsLost: 0 }, () => {
      if (!this.data.active) return;
      this.component().start();
      webrtcroom.startHeartBeat(
        this.data.userID,
        roomID,
        () => this.setData({ beatsLost: 0 }),
        () => {
          this.setData({ beatsLost: this.data.beatsLost + 1 });
          if (this.data.beatsLost > MOST_BEATS_LOST) this.fail(this.data.words.heartbeat);
        },
      );
    });
  },

  leave() {
    webrtcroom.stopHeartBeat();
    if (!this.data.active) return;
    this.setData({ active: false });
    const component = this.component();
    if (component) component.stop();
    webrtcroom.quitRoom(this.data.userID, this.data.roomID);
  },

  /** @param {string} why */
  fail(why) {
    this.leave();
    this.setData({ trouble: why });
  },

  // --- what the component says

  /** @param {any} event */
  onRoomEvent(event) {
    const { tag, code, detail } = event.detail;
    if (tag === 'muted') this.showMutes(detail);
    if (tag !== 'error') return;
    const said = this.data.words[ERRORS.webrtc[code]] || String(code);
    if (code === -8) this.setData({ notice: said });
    else this.fail(`${said} (${detail})`);
  },

  /** @param {import('../../utils/im.js').Mutes} mutes */
  showMutes({ audio, video, words: typing }) {
    const { words } = this.data;
    const taken = [audio && words.yourSound, video && words.yourPicture, typing && words.yourWords].filter(Boolean);
    this.setData({ notice: taken.length ? `${words.muted}${taken.join(words.and)}` : words.unmuted });
  },

  /** @param {any} event */
  onIMEvent(event) {
    const { tag, code, detail } = event.detail;
    if (tag === 'big_group_msg_notify') {
      // The newest stands first.
      for (let index = detail.length - 1; index >= 0; index -= 1) this.show(detail[index]);
    } else if (tag === 'connection_event' && code === CONNECTION.OFF) {
      this.setData({ notice: this.data.words.lost });
    } else if (tag === 'connection_event' && code === CONNECTION.RECONNECT) {
      this.setData({ notice: this.data.words.back });
    } else if (tag === 'error' && code === 'kicked') {
      this.setData({ notice: this.data.words.kicked });
    }
  },

  /** @param {import('../../utils/msg.js').Msg} message */
  show(message) {
    let text = '';
    let from = message.getFromAccountNick();
    message.getElems().forEach((element) => {
      const content = element.getContent();
      if (element.getType() === 'TIMTextElem') {
        text += content.getRawText();
      } else if (element.getType() === 'TIMCustomElem' && content.getExt() === 'TEXT') {
        text += content.getData();
        from = nickOf(content.getDesc()) || from;
      }
    });
    if (!text) return;
    this.setData({ lines: withLine(this.data.lines, { from, text, own: message.getIsSend() }) });
  },

  // --- what people do

  tools() {
    const { words: said, muted, camera } = this.data;
    return [
      { name: 'mute', text: muted ? said.unmute : said.mute },
      { name: 'video', text: camera ? said.cameraOff : said.cameraOn },
      { name: 'flip', text: said.camera },
      { name: 'leave', text: said.leave, kind: 'warn' },
    ];
  },

  /** @param {any} event */
  onTool(event) {
    const { name } = event.detail;
    if (name === 'mute') this.setData({ muted: !this.data.muted });
    else if (name === 'video') this.setData({ camera: !this.data.camera });
    else if (name === 'flip') this.component().switchCamera();
    else wx.navigateBack({});
    this.setData({ tools: this.tools() });
  },

  /** @param {any} event */
  onSay(event) {
    const desc = JSON.stringify({ nickName: this.data.userID });
    this.component().sendGroupCustomMsg(
      { data: event.detail.text, ext: 'TEXT', desc },
      () => {
        this.setData({ notice: '' });
        /** @type {any} */ (this.selectComponent('#chat')).clear();
      },
      (/** @type {number} */ code, /** @type {any} */ error) =>
        this.setData({ notice: `${this.data.words.failed}${(error && error.ErrorInfo) || error || code}` }),
    );
  },
});

/** @param {string} desc what a sender said of itself: JSON, or anything else */
function nickOf(desc) {
  try {
    return String(JSON.parse(desc).nickName || '');
  } catch (error) {
    return '';
  }
}
