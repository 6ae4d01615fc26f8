/** `<webrtc-room>` on a page, with its room service and `/im` as a test makes them up. Timers are jest's. */
const { stage } = require('./stage.js');
const { noted } = require('./tags.js');
const { fake, settle } = require('./wx.js');

const PUSH = 'rtmp://gw/live/8888_1001_phone?txSecret=1';
const listed = (...users) => users.map((user) => ({ userID: user, accelerateURL: `rtmp://gw/live/${user}` }));
const userlist = (...users) => users.map((user) => ({ userid: user, playurl: `rtmp://gw/live/${user}` }));
const TICKETS = {
  roomID: 1001, userID: 'phone', userName: 'Phone', userSig: 'sig', sdkAppID: 1400000001, privateMapKey: 'key',
  serverDomain: 'https://gw.example/webrtc/weapp/webrtc_room', autoplay: true,
}; // prettier-ignore

const entry = (seq, from, text, more) => ({
  Event: 3, From_Account: from, ToGroupId: '1001', MsgSeq: seq, MsgRandom: seq, MsgTimeStamp: 1546300800,
  MsgPriority: 'COMMON', IsPlaceMsg: 0, GroupInfo: { GroupName: '1001', From_AccountNick: from.toUpperCase() },
  MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: text } }], ...more,
}); // prettier-ignore

class Scene {
  constructor() {
    /** What the tags' contexts were told. */
    this.calls = [];
    this.put = stage(noted(this.calls));
    this.phones = [];
  }

  begin() {
    jest.useFakeTimers();
    this.calls.length = 0;
    this.world = fake((name) =>
      name === 'get_push_url' ? { code: 0, message: '', pushURL: PUSH, members: [] } : { code: 0, members: [] });
  }

  end() {
    this.phones.splice(0).forEach((phone) => phone.remove());
    jest.useRealTimers();
  }

  phone(properties) {
    const made = this.put({ ...TICKETS, ...properties });
    this.phones.push(made);
    return made;
  }

  async tick(ms = 0) {
    await settle();
    jest.advanceTimersByTime(ms);
    await settle();
  }

  /** Start, with others in the room, up to the end of the login. */
  async enter(properties, ...users) {
    const made = this.phone(properties);
    this.world.answer = (name) =>
      name === 'get_push_url'
        ? { code: 0, message: '', pushURL: PUSH, members: listed(...users) }
        : { code: 0, members: users.map((user) => ({ userID: user, nickName: user.toUpperCase() })) };
    made.room.start();
    await this.tick();
    this.login();
    await this.tick();
    return made;
  }

  login(fields) {
    const { socket } = this.world;
    socket.open();
    socket.answer('login', { userID: 'phone', epoch: 7, seq: 0, first: 1, ...fields });
    const event = (tag, detail) => socket.receive({ cmd: 'event', tag, code: 0, detail });
    event('login_event', { ActionStatus: 'OK', ErrorCode: 0, ErrorInfo: 'login success', identifierNick: 'phone' });
    event('join_group_event', { ActionStatus: 'OK', ErrorCode: 0, JoinedStatus: 'JoinedSuccess', GroupId: '1001' });
  }
}

/** A scene for the tests of one file. */
function webrtcRoom() {
  const scene = new Scene();
  beforeEach(() => scene.begin());
  afterEach(() => scene.end());
  return scene;
}

module.exports = { PUSH, TICKETS, entry, listed, userlist, webrtcRoom };
