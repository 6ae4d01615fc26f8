/** liveroom.js of 2018 in its contract: a host, viewers, link-mic by messages to one user, one picture of all. */
const { NOTHING, RoomClient, newcomers } = require('./room_client.js');
const { custom } = require('./im.js');

const ASK_MS = 30000;
const RETRY_MS = 2000;
const CANVAS = { width: 360, height: 640 };
const SMALL = { image_width: 120, image_height: 180 };
const BOTTOM = 60;

/** The stream id of a play URL: its last segment, cut at `?` and at the first dot. */
const streamOf = (url) => (url ? url.split('?')[0].split('/').pop().split('.')[0] : '');

class LiveRoom extends RoomClient {
  constructor(wx, imHost) {
    super(wx, imHost);
    Object.assign(this, { creator: false, destroyed: false, linked: false, inGroup: false, asked: null });
    /** Codes of the answers to merge_stream. */
    this.merges = [];
  }

  getPushURL({ success = NOTHING, fail = NOTHING }) {
    this.call('get_push_url', { userID: this.account.userID }, ({ pushURL }) => success({ pushURL }), fail);
  }

  getPushers({ data = {}, success = NOTHING, fail = NOTHING }) {
    const roomID = data.roomID || this.room.roomID;
    if (roomID) this.call('get_pushers', { roomID }, (answer) => success({ data: answer }), fail);
    else fail({ errCode: -999, errMsg: 'no roomID' });
  }

  // --- coming and going

  createRoom({ data, success = NOTHING, fail = NOTHING }) {
    Object.assign(this, { creator: true, destroyed: false, inGroup: false });
    const { userID } = this.account;
    this.call('create_room', { userID, roomInfo: data.roomInfo }, ({ roomID }) => {
      Object.assign(this.room, { roomID, roomInfo: data.roomInfo, roomCreator: userID });
      this.joinGroup(roomID, () => {
        this.inGroup = true;
        this.joinPusher({ data: { roomID, pushURL: data.pushURL }, success, fail });
      }, fail);
    }, fail); // prettier-ignore
  }

  joinPusher({ data, success = NOTHING, fail = NOTHING }) {
    const { roomID, pushURL } = data;
    const { userID, userName, userAvatar } = this.account;
    this.room.roomID = roomID;
    this.destroyed = false;
    this.call('add_pusher', { roomID, userID, userName, userAvatar, pushURL }, () => {
      this.linked = true;
      this.merge();
      this.startHeartBeat();
      success({ roomID });
    }, fail); // prettier-ignore
  }

  /** After this the library knows of no room any more. */
  quitPusher({ success = NOTHING, fail = NOTHING }) {
    this.beating = false;
    const { roomID } = this.room;
    this.call('delete_pusher', { roomID, userID: this.account.userID }, () => {
      Object.assign(this.room, { roomID: '', pushers: [] });
      success({});
    }, fail); // prettier-ignore
    this.linked = false;
  }

  /** A viewer: group first, then the list, then its name among the viewers. */
  enterRoom({ data, success = NOTHING, fail = NOTHING }) {
    Object.assign(this, { creator: false, inGroup: false });
    const { roomID } = data;
    const { userID, userName, userAvatar } = this.account;
    this.room.roomID = roomID;
    this.joinGroup(roomID, () => {
      this.inGroup = true;
      this.getPushers({
        success: ({ data: answer }) => {
          const { roomInfo, roomCreator, mixedPlayURL, pushers } = answer;
          Object.assign(this.room, { roomID: answer.roomID, roomInfo, roomCreator, mixedPlayURL });
          success({ roomID: answer.roomID, roomCreator, mixedPlayURL, pushers });
          this.call('add_audience', { userID, roomID, userInfo: JSON.stringify({ userName, userAvatar }) });
        },
        fail,
      });
    }, fail); // prettier-ignore
  }

  exitRoom({ success = NOTHING, fail = NOTHING }) {
    const { roomID } = this.room;
    const body = { roomID, userID: this.account.userID };
    this.beating = false;
    // Both leave the group first, whatever comes of the rest.
    if (this.inGroup) this.im.quitBigGroup(this.groupID);
    if (!this.creator) {
      this.call('delete_pusher', body, () => success({}), fail);
      this.call('delete_audience', body);
    } else if (!this.destroyed) {
      this.call('destroy_room', body, () => success({}), fail);
    }
    this.destroyed = true;
    Object.assign(this.room, { roomID: '', roomInfo: '', mixedPlayURL: '', pushers: [] });
  }

  // --- what comes

  onChange() {
    this.event('onPushersChange');
    this.merge();
  }

  merge() {
    if (!this.linked) return;
    const { userID: self } = this.account;
    const compare = ({ data }) => {
      const before = this.room.pushers;
      const came = newcomers(data.pushers, before).filter(({ userID }) => userID !== self);
      const gone = newcomers(before, data.pushers);
      this.room.pushers = data.pushers;
      if (came.length) this.event('onPusherJoin', { pushers: came });
      if (gone.length) this.event('onPusherQuit', { pushers: gone });
      if ((came.length || gone.length) && self === this.room.roomCreator) this.mergeStream(1);
    };
    this.getPushers({ success: compare });
  }

  onDissolved() {
    this.destroyed = true;
    this.event('onRoomClose');
  }

  onGroup(message) {
    if (this.isNotice(message)) return;
    if (message.content) {
      const { cmd, data, words } = this.parse(message);
      const from = { roomID: this.room.roomID, userID: message.nick };
      const said = { ...from, userName: data && data.nickName, userAvatar: data && data.headPic, message: words };
      if (cmd === 'CustomTextMsg') this.event('onRecvRoomTextMsg', said);
      else if (cmd === 'CustomCmdMsg') this.event('onRecvRoomCustomMsg', { ...said, cmd: data.cmd });
    }
    const board = message.elements.find(({ MsgContent }) => MsgContent.Ext === 'TXWhiteBoardExt');
    if (board && message.from !== this.account.userID) this.event('onSketchpadData', board.MsgContent.Data);
  }

  /** No guard here either. The sender is known by its nick, which is its id. */
  onDirect({ content, nick }) {
    const { cmd, data } = JSON.parse(content);
    if (cmd !== 'linkmic') return;
    if (data.type === 'request') {
      this.event('onRecvJoinPusherRequest', { userID: nick, userName: data.userName, userAvatar: data.userAvatar });
    } else if (data.type === 'kickout') {
      this.event('onKickOut', { roomID: data.roomID });
    } else if (data.type === 'response' && this.asked) {
      this.asked(data.result === 'accept' ? { errCode: 0, errMsg: '' } : { errCode: -999, errMsg: 'rejected' });
    }
  }

  // --- link-mic

  linkmic(user, data, done = NOTHING) {
    const words = JSON.stringify({ cmd: 'linkmic', data: { ...data, roomID: this.room.roomID } });
    this.im.sendTo(user, [custom(words)], () => done({ errCode: 0 }), (error) => done({ errCode: error.ErrorCode }));
  }

  requestJoinPusher({ data = {}, success = NOTHING, fail = NOTHING }) {
    const { userID, userName, userAvatar } = this.account;
    const timer = setTimeout(() => this.asked({ errCode: -999, errMsg: 'timeout' }), data.timeout || ASK_MS);
    this.asked = (answer) => {
      clearTimeout(timer);
      if (answer.errCode) fail(answer);
      else success(answer);
    };
    const sent = (answer) => answer.errCode && this.asked(answer);
    this.linkmic(this.room.roomCreator, { type: 'request', userID, userName, userAvatar }, sent);
  }

  acceptJoinPusher({ data }) {
    this.linkmic(data.userID, { type: 'response', result: 'accept', message: '' });
  }

  rejectJoinPusher({ data }) {
    this.linkmic(data.userID, { type: 'response', result: 'reject', message: data.reason || '' });
  }

  kickoutSubPusher({ data, success = NOTHING, fail = NOTHING }) {
    this.linkmic(data.userID, { type: 'kickout' }, (answer) => (answer.errCode ? fail(answer) : success(answer)));
  }

  sendC2CCustomMsg({ cmd, msg = '', toUserID, success = NOTHING, fail = NOTHING }) {
    const { userID, userName, userAvatar } = this.account;
    const words = JSON.stringify({ cmd, data: { userID, userName, userAvatar, msg } });
    this.im.sendTo(toUserID || this.room.roomCreator, [custom(words)], () => success({}), fail);
  }

  getAccountInfo() {
    return this.account;
  }

  // --- one picture of all

  mergeStream(retries) {
    const { roomID, roomCreator, pushers } = this.room;
    const host = streamOf((pushers.find(({ userID }) => userID === roomCreator) || {}).accelerateURL);
    const guests = pushers.filter(({ userID }) => userID !== roomCreator);
    const layers = guests.map(({ accelerateURL }, number) => {
      const location_x = CANVAS.width - SMALL.image_width;
      const location_y = CANVAS.height - BOTTOM - (number + 1) * SMALL.image_height;
      const layout_params = { image_layer: number + 2, ...SMALL, location_x, location_y };
      return { input_stream_id: streamOf(accelerateURL), layout_params };
    });
    const para = {
      app_id: String(this.account.sdkAppID),
      interface: 'mix_streamv2.start_mix_stream_advanced',
      mix_stream_session_id: host,
      output_stream_id: host,
      input_stream_list: [{ input_stream_id: host, layout_params: { image_layer: 1 } }, ...layers],
    };
    const now = Math.round(Date.now() / 1000);
    const params = { timestamp: now, eventId: now, interface: { interfaceName: 'Mix_StreamV2', para } };
    const failed = () => retries > 0 && setTimeout(() => this.mergeStream(retries - 1), RETRY_MS);
    this.call(
      'merge_stream',
      { userID: this.account.userID, roomID, mergeParams: JSON.stringify(params) },
      (answer) => {
        this.merges.push(answer.result.code); // without a result this throws
        if (answer.result.code) failed();
      },
      failed,
    );
  }
}

module.exports = { LiveRoom };
