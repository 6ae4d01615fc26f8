/** The rooms of one kind: enter one, or make one. */

const config = require('../../config.js');
const { getLoginInfo } = require('../../utils/getlogininfo.js');
const liveroom = require('../../utils/liveroom.js');
const rtcroom = require('../../utils/rtcroom.js');
const webrtcroom = require('../../utils/webrtcroom.js');
const { words } = require('../../utils/words.js');

const COUNT = 20;

/** @typedef {{ roomID: string, roomInfo: string, roomCreator: string, pushers?: any[], audienceCount?: number }} ListedRoom */

Page({
  data: {
    words: /** @type {Record<string, string>} */ ({}),
    kind: '',
    userID: '',
    title: '',
    pureAudio: false,
    loggedIn: false,
    rooms: /** @type {{ roomID: string, title: string, by: string, people: number }[]} */ ([]),
    trouble: '',
  },

  /** @param {Record<string, string | undefined>} query */
  onLoad(query) {
    const said = words();
    const kind = query.kind || 'multi_room';
    this.setData({ words: said, kind, userID: decodeURIComponent(query.userID || '') });
    wx.setNavigationBarTitle({ title: said[kind] || kind });
  },

  onShow() {
    this.refresh();
  },

  onPullDownRefresh() {
    this.refresh();
  },

  /** @param {any} event */
  onTitle(event) {
    this.setData({ title: event.detail.value });
  },

  /** @param {any} event */
  onPureAudio(event) {
    this.setData({ pureAudio: event.detail.value });
  },

  refresh() {
    const { kind } = this.data;
    const fail = (/** @type {{ errCode: number, errMsg: string }} */ failure) => this.fail(failure);
    if (kind === 'webrtc_room') {
      webrtcroom.getRoomList(0, COUNT, ({ data }) => this.show(data.rooms), fail);
    } else if (!this.data.loggedIn) {
      this.login(fail);
    } else {
      const library = kind === 'live_room' ? liveroom : rtcroom;
      library.getRoomList({ data: { index: 0, cnt: COUNT }, success: ({ rooms }) => this.show(rooms), fail });
    }
  },

  /** @param {(failure: { errCode: number, errMsg: string }) => void} fail */
  login(fail) {
    getLoginInfo({
      type: /** @type {any} */ (this.data.kind),
      userID: this.data.userID,
      success: ({ userID }) => {
        this.setData({ userID, loggedIn: true });
        this.refresh();
      },
      fail,
    });
  },

  /** @param {ListedRoom[]} rooms */
  show(rooms) {
    wx.stopPullDownRefresh();
    const shown = rooms.map(({ roomID, roomInfo, roomCreator, pushers = [], audienceCount = 0 }) => ({
      roomID,
      title: roomInfo || roomID,
      by: roomCreator,
      people: pushers.length + audienceCount,
    }));
    this.setData({ rooms: shown, trouble: '' });
  },

  /** @param {{ errCode: number, errMsg: string }} failure */
  fail({ errCode, errMsg }) {
    wx.stopPullDownRefresh();
    const said = errCode === -1 ? this.data.words.unreachable + config.server : this.data.words.failed;
    this.setData({ trouble: `${said} ${errMsg}` });
  },

  create() {
    if (!this.data.title) {
      this.setData({ trouble: this.data.words.titleNeeded });
      return;
    }
    this.go('', this.data.title, 'presenter');
  },

  /** @param {any} event */
  enter(event) {
    const { id, title } = event.currentTarget.dataset;
    this.go(String(id), title, 'audience');
  },

  /** @param {string} roomID '' makes a room @param {string} roomName @param {string} role in a live room */
  go(roomID, roomName, role) {
    const { kind, userID, pureAudio } = this.data;
    const live = role === 'presenter' ? { role, pureAudio } : { role };
    const query = Object.assign({ roomID, roomName, userID }, kind === 'live_room' ? live : { kind });
    const text = Object.entries(query).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
    const page = kind === 'live_room' ? 'live' : kind === 'webrtc_room' ? 'room' : 'call';
    wx.navigateTo({ url: `../${page}/${page}?${text.join('&')}` });
  },
});
