/**
 * What the two room libraries of 2018 share: calls with `userID` and `token` in the query, a login to the room service
 * and then to the IM, heartbeats, texts in the room.
 */
const { Im, custom, textElements } = require('./im.js');

const FIRST_BEAT_MS = 3000;
const BEAT_MS = 7000;
const SYSTEM = '@TIM#SYSTEM';
const NOTHING = () => {};

class RoomClient {
  constructor(wx, imHost) {
    this.wx = wx;
    this.im = new Im(wx, imHost);
    this.server = '';
    this.account = { userID: '', userName: '', userAvatar: '', userSig: '', sdkAppID: '', accountType: '', token: '' };
    this.room = { roomID: '', roomInfo: '', roomCreator: '', mixedPlayURL: '', pushers: [] };
    this.events = {};
    this.beating = false;
  }

  /** POST; failures are `{errCode, errMsg}`, the service's own with the code behind the message. */
  call(name, data, succeed = NOTHING, fail = NOTHING, params = {}) {
    const given = Object.entries(params).map(([key, value]) => `${key}=${encodeURIComponent(value)}&`).join('');
    // The token of an earlier login stands in the query of the next one too.
    const token = this.account.token ? `&token=${this.account.token}` : '';
    this.wx.request({
      url: `${this.server}${name}?${given}userID=${this.account.userID}${token}`,
      method: 'POST',
      data,
      success: ({ data: answer }) => {
        if (answer.code) fail({ errCode: answer.code, errMsg: `${answer.message}[${answer.code}]` });
        else succeed(answer);
      },
      fail: ({ errMsg }) => fail({ errCode: -1, errMsg }),
    });
  }

  login({ data, success = NOTHING, fail = NOTHING }) {
    const { serverDomain, accType, accountType, ...given } = data;
    this.server = serverDomain;
    Object.assign(this.account, { userAvatar: '123', ...given, accountType: accType || accountType });
    const { sdkAppID, userSig } = this.account;
    this.call('login', {}, (answer) => {
      Object.assign(this.account, { token: answer.token, userID: answer.userID });
      this.loginIm(() => success({ userID: this.account.userID, userName: this.account.userName }), () =>
        fail({ errCode: -999, errMsg: 'no IM' }));
    }, fail, { accountType: this.account.accountType, sdkAppID, userSig }); // prettier-ignore
  }

  loginIm(succeed, fail) {
    const { userID, sdkAppID, accountType, userSig } = this.account;
    const who = { sdkAppID, appIDAt3rd: sdkAppID, accountType, identifier: userID, identifierNick: userID, userSig };
    const listeners = {
      onBigGroupMsgNotify: (messages) => [...messages].reverse().forEach((message) => this.onGroup(message)),
      onMsgNotify: (messages) => messages.forEach((message) => this.onDirect(message)),
      onGroupSystemNotifys: { 5: () => this.onDissolved(), 255: (notify) => this.onNotice(notify) },
      onKickedEventCall: () => this.event('onKickedOffline', {}),
    };
    this.im.login(who, listeners, () => this.im.setNick(userID, succeed, fail), fail);
  }

  logout() {
    this.call('logout', {});
    this.im.logout();
    this.account.token = '';
  }

  setListener(events) {
    this.events = events || {};
  }

  event(name, detail) {
    if (this.events[name]) this.events[name](detail);
  }

  // --- what comes

  /** No guard: a text without `}}`, or with something else before it, stops the poll that brought it. */
  onNotice({ UserDefinedField }) {
    const notice = JSON.parse(UserDefinedField);
    if (notice && notice.cmd === 'notifyPusherChange') this.onChange();
  }

  /** What the system says is shown up to the first `;`, as nobody's words. */
  isNotice(message) {
    if (message.nick !== SYSTEM) return false;
    this.event('onRecvRoomTextMsg', { roomID: this.room.roomID, userID: '', textMsg: message.content.split(';')[0] });
    return true;
  }

  /** Split what was said into the command, its data and the text behind it. */
  parse(message) {
    const [head, ...rest] = message.content.split('}}');
    const { cmd, data } = JSON.parse(`${head}}}`);
    return { cmd, data, words: rest.join('}}') };
  }

  // --- what both libraries export

  getRoomList({ data = {}, success = NOTHING, fail = NOTHING }) {
    const body = { index: data.index || 0, cnt: data.cnt || 20 };
    this.call('get_room_list', body, ({ rooms }) => success({ rooms }), fail);
  }

  sendRoomTextMsg({ data, success = NOTHING, fail = NOTHING }) {
    const { userName, userAvatar } = this.account;
    // Put together without a thought of quotes or braces in the name.
    const head = `{"cmd":"CustomTextMsg","data":{"nickName":"${userName}","headPic":"${userAvatar}"}}`;
    this.im.sendGroup(this.groupID, [custom(head), ...textElements(data.msg)], () => success(), fail);
  }

  joinGroup(roomID, succeed, fail) {
    this.groupID = roomID;
    this.im.joinBigGroup(roomID, succeed, () => fail({ errCode: -2, errMsg: 'no group' }));
  }

  startHeartBeat() {
    this.beating = true;
    setTimeout(() => this.beat(), FIRST_BEAT_MS);
    const again = () => this.beating && setTimeout(() => {
      // One more comes after the end, with whatever room there is by then.
      this.beat();
      again();
    }, BEAT_MS); // prettier-ignore
    again();
  }

  beat() {
    if (this.server) this.call('pusher_heartbeat', { roomID: this.room.roomID, userID: this.account.userID });
  }
}

/** Who of `now` is not in `before`, by user id. */
const newcomers = (now, before) => now.filter(({ userID }) => !before.some((pusher) => pusher.userID === userID));

module.exports = { NOTHING, RoomClient, newcomers };
