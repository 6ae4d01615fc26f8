/** The list of rooms: who am I, which rooms are there, enter one or make one. */

const config = require('../../config.js');
const webrtcroom = require('../../utils/webrtcroom.js');
const { words } = require('../../utils/words.js');

const COUNT = 20;

Page({
  data: {
    words: /** @type {Record<string, string>} */ ({}),
    userID: '',
    title: '',
    rooms: /** @type {{ roomID: string, roomInfo: string, roomCreator: string }[]} */ ([]),
    trouble: '',
  },

  onLoad() {
    this.setData({ words: words(), userID: wx.getStorageSync('userID') || '' });
  },

  onShow() {
    this.refresh();
  },

  onPullDownRefresh() {
    this.refresh();
  },

  /** @param {any} event */
  onName(event) {
    this.setData({ userID: event.detail.value });
  },

  /** @param {any} event */
  onTitle(event) {
    this.setData({ title: event.detail.value });
  },

  refresh() {
    webrtcroom.getRoomList(
      0,
      COUNT,
      (result) => {
        wx.stopPullDownRefresh();
        this.setData({ rooms: result.data.rooms, trouble: '' });
      },
      (error) => {
        wx.stopPullDownRefresh();
        this.trouble(error);
      },
    );
  },

  /** @param {{ errCode: number, errMsg: string }} error */
  trouble(error) {
    const said = error.errCode === -1 ? this.data.words.unreachable + config.server : this.data.words.failed;
    this.setData({ trouble: `${said} ${error.errMsg}` });
  },

  create() {
    if (!this.data.title) {
      this.setData({ trouble: this.data.words.titleNeeded });
      return;
    }
    this.go('', this.data.title);
  },

  /** @param {any} event */
  enter(event) {
    const { id, title } = event.currentTarget.dataset;
    this.go(String(id), title);
  },

  /** @param {string} roomID '' makes a room @param {string} title */
  go(roomID, title) {
    const userID = this.data.userID;
    if (userID && !/^[A-Za-z]\w{3,23}$/.test(userID)) {
      this.setData({ trouble: this.data.words.nameRule });
      return;
    }
    wx.setStorageSync('userID', userID);
    const query = { roomID, roomName: title, userID };
    const text = Object.entries(query).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
    wx.navigateTo({ url: `../room/room?${text.join('&')}` });
  },
});
