/** rtcroom.js of 2018 in its contract: calls of two and of many, with the callbacks and the habits that it had. */
const { NOTHING, RoomClient, newcomers } = require('./room_client.js');

class RtcRoom extends RoomClient {
  constructor(wx, imHost) {
    super(wx, imHost);
    this.destroyed = false;
  }

  getPushURL({ data = {}, success = NOTHING, fail = NOTHING }) {
    const { userID } = this.account;
    const body = data.roomID ? { roomID: data.roomID, userID } : { userID };
    this.call('get_push_url', body, ({ pushURL }) => success({ pushURL }), fail);
  }

  createRoom({ data, success = NOTHING, fail = NOTHING }) {
    this.destroyed = false;
    this.room.pushers = [];
    const { userID } = this.account;
    this.call('create_room', { userID, roomInfo: data.roomInfo || '' }, ({ roomID }) => {
      Object.assign(this.room, { roomID, roomCreator: userID });
      success({ roomID });
    }, fail); // prettier-ignore
  }

  enterRoom({ data, success = NOTHING, fail = NOTHING }) {
    this.destroyed = false;
    const { roomID, roomInfo, pushURL } = data;
    const { userID, userName, userAvatar } = this.account;
    Object.assign(this.room, { roomID, roomInfo });
    this.call('add_pusher', { roomID, roomInfo, userID, userName, userAvatar, pushURL }, () => {
      this.startHeartBeat();
      // Side by side: the list is asked for before the group is joined.
      this.joinGroup(roomID, () => success({}), fail);
      this.onChange();
    }, fail); // prettier-ignore
  }

  /** The caller is left out; what the answer says of the room replaces what was known. */
  getPushers({ data, success = NOTHING, fail = NOTHING }) {
    this.call('get_pushers', { roomID: data.roomID }, (answer) => {
      const pushers = answer.pushers.filter(({ userID }) => userID !== this.account.userID);
      const { roomID, roomInfo, roomCreator, mixedPlayURL } = answer;
      success({ roomID, roomInfo, roomCreator, mixedPlayURL, pushers });
    }, fail); // prettier-ignore
  }

  onChange() {
    if (this.destroyed) return;
    const merge = (answer) => {
      const { pushers } = this.room;
      const [came, gone] = [newcomers(answer.pushers, pushers), newcomers(pushers, answer.pushers)];
      this.room = { ...this.room, ...answer };
      if (came.length) this.event('onPusherJoin', { pushers: came });
      if (gone.length) this.event('onPusherQuit', { pushers: gone });
    };
    this.getPushers({ data: { roomID: this.room.roomID }, success: merge });
  }

  onDissolved() {
    this.destroyed = true;
    this.event('onRoomClose', {});
  }

  onGroup(message) {
    if (!message.content || this.isNotice(message)) return;
    const { cmd, data, words } = this.parse(message);
    const said = cmd === 'CustomTextMsg' ? { ...data, textMsg: words } : { textMsg: message.content };
    this.event('onRecvRoomTextMsg', { roomID: this.room.roomID, userID: message.nick, ...said });
  }

  onDirect() {}

  /** Nothing at all once the room is known to be gone: the group is not quitted then, and its poll goes on. */
  exitRoom({ success = NOTHING, fail = NOTHING }) {
    this.beating = false;
    if (this.destroyed) return;
    this.destroyed = true;
    const { roomID } = this.room;
    if (roomID) this.call('delete_pusher', { roomID, userID: this.account.userID }, () => success({}), fail);
    this.im.quitBigGroup(this.groupID);
    Object.assign(this.room, { roomID: '', roomInfo: '', mixedPlayURL: '', pushers: [] });
  }

  getAccountInfo() {
    return this.account;
  }

  getRoomInfo() {
    return this.room;
  }
}

module.exports = { RtcRoom };
