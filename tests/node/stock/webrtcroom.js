/** webrtcroom.js of 2018 in its contract: seven calls for rooms of browsers, and the one for a phone's address. */

const BEAT_MS = 7000;
const GIVES_UP = 2;

class WebrtcRoom {
  constructor(wx, server) {
    Object.assign(this, { wx, server: `${server}/webrtc/weapp/webrtc_room/`, timer: null, missed: 0 });
  }

  call(name, data) {
    return new Promise((resolve, fail) => {
      this.wx.request({
        url: this.server + name,
        method: 'POST',
        data,
        success: ({ data: answer }) => {
          if (answer.code) fail({ errCode: answer.code, errMsg: `${answer.message}[${answer.code}]` });
          else resolve(answer);
        },
        fail: ({ errMsg }) => fail({ errCode: -1, errMsg }),
      });
    });
  }

  getLoginInfo(userID) {
    return this.call('get_login_info', { userID });
  }

  async getRoomList(index, count) {
    return (await this.call('get_room_list', { index, count, roomType: 'trtc' })).rooms;
  }

  createRoom(userID, roomInfo) {
    return this.call('create_room', { userID, roomInfo, roomType: 'trtc' });
  }

  enterRoom(userID, roomID) {
    return this.call('enter_room', { userID, roomID });
  }

  quitRoom(userID, roomID) {
    return this.call('quit_room', { userID, roomID });
  }

  getPushURL(tickets) {
    return this.call('get_push_url', tickets);
  }

  /** At once, and again 7 s after each answer, good or bad; `lost` after more than two failures in a row. */
  startHeartBeat(userID, roomID, lost) {
    const again = () => {
      this.timer = setTimeout(beat, BEAT_MS);
    };
    const beat = () =>
      this.call('heartbeat', { userID, roomID }).then(
        () => {
          this.missed = 0;
          again();
        },
        (error) => {
          this.missed += 1;
          if (this.missed > GIVES_UP) lost(error);
          else again();
        },
      );
    beat();
  }

  stopHeartBeat() {
    clearTimeout(this.timer);
  }
}

module.exports = { WebrtcRoom };
