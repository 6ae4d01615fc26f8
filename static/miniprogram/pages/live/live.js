/** A live room, as its presenter or in its audience: `<live-room>`, a chat, and joining the stage. */

const { getLoginInfo } = require('../../utils/getlogininfo.js');
const { withLine } = require('../../utils/lines.js');
const { ERRORS, words } = require('../../utils/words.js');

/** Errors after which the broadcast goes on. */
const PASSING = [-1, -2, -9004, -9005, -1305, -1306, -2301];

Page({
  data: {
    words: /** @type {Record<string, string>} */ ({}),
    role: 'audience',
    userID: '',
    roomID: '',
    roomName: '',
    pureAudio: false,
    muted: false,
    beauty: 5,
    linked: false,
    asking: false,
    tools: /** @type {{ name: string, text: string, kind?: string }[]} */ ([]),
    lines: /** @type {import('../../utils/lines.js').ChatLine[]} */ ([]),
    trouble: '',
    notice: '',
    active: false,
  },

  /** @param {Record<string, string | undefined>} query */
  onLoad(query) {
    const text = (/** @type {string} */ name) => decodeURIComponent(query[name] || '');
    this.setData({
      words: words(),
      role: text('role') === 'presenter' ? 'presenter' : 'audience',
      userID: text('userID'),
      roomID: text('roomID'),
      roomName: text('roomName'),
      pureAudio: text('pureAudio') === 'true',
    });
    this.setData({ tools: this.tools() });
    wx.setNavigationBarTitle({ title: text('roomName') || this.data.words.live_room });
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
    return /** @type {any} */ (this.selectComponent('#liveroom'));
  },

  begin() {
    this.setData({ trouble: '', notice: '' });
    getLoginInfo({
      type: 'live_room',
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
    this.setData({ trouble: why, active: false, linked: false, asking: false });
    this.setData({ tools: this.tools() });
  },

  /** @param {boolean} linked @param {string} notice */
  stageChanged(linked, notice) {
    this.setData({ linked, asking: false, notice });
    this.setData({ tools: this.tools() });
  },

  // --- what the component says

  /** @param {any} event */
  onRoomEvent(event) {
    const { tag, code, detail } = event.detail;
    const said = this.data.words;
    if (tag === 'recvTextMsg') {
      const line = { from: detail.userName || detail.userID, text: detail.message, own: detail.userID === this.data.userID };
      this.setData({ lines: withLine(this.data.lines, line) });
    } else if (tag === 'joinPusher') this.asked(detail);
    else if (tag === 'created') this.setData({ notice: said.onAir });
    else if (tag === 'LinkOn') this.stageChanged(true, said.linkOn);
    else if (tag === 'LinkOut') this.stageChanged(false, said.linkOut);
    else if (tag === 'roomClosed') this.fail(said.closed);
    else if (tag === 'error') this.failed(code, String(detail));
  },

  /** @param {number} code @param {string} detail */
  failed(code, detail) {
    const said = this.data.words[ERRORS.live[code]] || String(code);
    if (PASSING.indexOf(code) >= 0) this.stageChanged(this.data.linked, `${said} (${detail})`);
    else this.fail(`${said} (${detail})`);
  },

  /** Somebody of the audience asks to join the stage. @param {{ userID: string, userName: string }} guest */
  asked(guest) {
    const { asks, accept, refuse } = this.data.words;
    wx.showModal({
      content: `${guest.userName} ${asks}`,
      confirmText: accept,
      cancelText: refuse,
      success: ({ confirm }) => this.component().respondJoinReq(confirm, guest),
    });
  },

  // --- what people do

  tools() {
    const { words: said, role, muted, linked, asking } = this.data;
    const pushes = role === 'presenter' || linked;
    /** @type {{ name: string, text: string, kind?: string }[]} */
    const tools = [{ name: 'mute', text: muted ? said.unmute : said.mute }];
    if (pushes) tools.push({ name: 'beauty', text: said.beauty }, { name: 'flip', text: said.camera });
    if (role !== 'presenter') {
      tools.push({ name: 'stage', text: linked ? said.unlink : asking ? said.waiting : said.link, kind: 'primary' });
    }
    return tools.concat([{ name: 'leave', text: said.leave, kind: 'warn' }]);
  },

  /** @param {any} event */
  onTool(event) {
    const { name } = event.detail;
    const { muted, beauty } = this.data;
    if (name === 'mute') this.setData({ muted: !muted });
    else if (name === 'beauty') this.setData({ beauty: beauty ? 0 : 5 });
    else if (name === 'flip') this.component().switchCamera();
    else if (name === 'stage') this.stage();
    else wx.navigateBack({});
    this.setData({ tools: this.tools() });
  },

  /** Ask to join the stage, or leave it. */
  stage() {
    if (this.data.linked) {
      this.component().quitLink();
    } else if (!this.data.asking) {
      this.setData({ asking: true, notice: '' });
      this.component().requestJoinPusher();
    }
  },

  /** @param {any} event */
  onSay(event) {
    this.component().sendTextMsg(event.detail.text);
    /** @type {any} */ (this.selectComponent('#chat')).clear();
  },
});
