/** A call of two or of many, in a room of RoomService: `<rtc-room>` and a chat. */

const { getLoginInfo } = require('../../utils/getlogininfo.js');
const { withLine } = require('../../utils/lines.js');
const { ERRORS, words } = require('../../utils/words.js');

/** Errors after which the call goes on. */
const PASSING = [-7, -8, -9];

Page({
  data: {
    words: /** @type {Record<string, string>} */ ({}),
    kind: /** @type {'double_room' | 'multi_room'} */ ('multi_room'),
    template: '1v3',
    userID: '',
    roomID: '',
    roomName: '',
    muted: false,
    camera: true,
    tools: /** @type {{ name: string, text: string, kind?: string }[]} */ ([]),
    lines: /** @type {import('../../utils/lines.js').ChatLine[]} */ ([]),
    trouble: '',
    notice: '',
    active: false,
  },

  /** @param {Record<string, string | undefined>} query */
  onLoad(query) {
    const text = (/** @type {string} */ name) => decodeURIComponent(query[name] || '');
    const kind = text('kind') === 'double_room' ? 'double_room' : 'multi_room';
    this.setData({
      words: words(),
      kind,
      template: kind === 'double_room' ? '1v1' : '1v3',
      userID: text('userID'),
      roomID: text('roomID'),
      roomName: text('roomName'),
    });
    this.setData({ tools: this.tools() });
    wx.setNavigationBarTitle({ title: text('roomName') || this.data.words[kind] });
  },

  onReady() {
    this.begin();
  },

  onShow() {
    if (this.data.active) this.component().resume();
    wx.setKeepScreenOn({ keepScreenOn: true });
  },

  onHide() {
    if (this.data.active) this.component().pause();
  },

  onUnload() {
    const component = this.component();
    if (component) component.stop();
  },

  component() {
    return /** @type {any} */ (this.selectComponent('#rtcroom'));
  },

  begin() {
    this.setData({ trouble: '', notice: '' });
    getLoginInfo({
      type: this.data.kind,
      userID: this.data.userID,
      success: ({ userID }) => {
        this.setData({ userID, active: true });
        this.component().start();
      },
      fail: ({ errMsg }) => this.fail(errMsg),
    });
  },

  /** @param {string} why */
  fail(why) {
    this.setData({ trouble: why, active: false });
  },

  // --- what the component says

  /** @param {any} event */
  onRoomEvent(event) {
    const { tag, code, detail } = event.detail;
    if (tag === 'recvTextMsg') {
      this.show(JSON.parse(detail));
    } else if (tag === 'roomClosed') {
      this.fail(this.data.words.closed);
    } else if (tag === 'error') {
      const said = this.data.words[ERRORS.rtc[code]] || String(code);
      if (PASSING.indexOf(code) >= 0) this.setData({ notice: said });
      else this.fail(`${said} (${detail})`);
    }
  },

  /** @param {{ userID: string, nickName: string, textMsg: string }} message */
  show({ userID, nickName, textMsg }) {
    const line = { from: nickName || userID, text: textMsg, own: userID === this.data.userID };
    this.setData({ lines: withLine(this.data.lines, line) });
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
    this.component().sendTextMsg(
      event.detail.text,
      () => /** @type {any} */ (this.selectComponent('#chat')).clear(),
      (/** @type {{ errMsg: string }} */ { errMsg }) => this.setData({ notice: `${this.data.words.failed}${errMsg}` }),
    );
  },
});
