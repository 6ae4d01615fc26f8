App({
  onLaunch() {
    // The developer tool shows what a page did wrong; a phone does not unless it is told to.
    wx.onError((error) => console.error(error));
  },
});
