/** Who am I, and what kind of room? */

const { words } = require('../../utils/words.js');

const KINDS = ['live_room', 'double_room', 'multi_room', 'webrtc_room'];
/** The strictest rule of those that the kinds of room have. */
const NAME = /^[A-Za-z]\w{3,23}$/;

Page({
  data: {
    words: /** @type {Record<string, string>} */ ({}),
    kinds: /** @type {{ kind: string, title: string, about: string }[]} */ ([]),
    userID: '',
    trouble: '',
  },

  onLoad() {
    const said = words();
    const kinds = KINDS.map((kind) => ({ kind, title: said[kind], about: said[`${kind}About`] }));
    this.setData({ words: said, kinds, userID: wx.getStorageSync('userID') || '' });
    wx.setNavigationBarTitle({ title: said.appTitle });
  },

  /** @param {any} event */
  onName(event) {
    this.setData({ userID: event.detail.value });
  },

  /** @param {any} event */
  choose(event) {
    const { userID } = this.data;
    if (userID && !NAME.test(userID)) {
      this.setData({ trouble: this.data.words.nameRule });
      return;
    }
    this.setData({ trouble: '' });
    wx.setStorageSync('userID', userID);
    wx.navigateTo({ url: `../list/list?kind=${event.currentTarget.dataset.kind}&userID=${encodeURIComponent(userID)}` });
  },
});
