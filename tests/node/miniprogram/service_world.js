/**
 * RoomService and `/im` as a test makes them up: each call and command has a good answer, which a test may replace.
 * Timers are jest's; `tick(ms)` lets them, and what follows from them, happen.
 */
const { fake, settle } = require('./wx.js');

const DOMAIN = 'https://gw.example/roomservice/weapp/';
const PUSH = 'rtmp://gw.example/live/8888_me?txSecret=1';
const pusher = (userID) => ({
  userID, userName: userID.toUpperCase(), userAvatar: '', accelerateURL: `rtmp://gw.example/live/8888_${userID}?txSecret=2`,
}); // prettier-ignore
const notice = (report, text = '', group = 'r1') => ({
  cmd: 'event', tag: 'error', code: 'group_system_notifys',
  detail: { ReportType: report, GroupId: group, Operator_Account: '@TIM#SYSTEM', UserDefinedField: text },
}); // prettier-ignore
const CHANGED = notice(255, '{"cmd":"notifyPusherChange","data":""}');

class ServiceWorld {
  /** @param {string} kind @param {string} creator of the room r1, who is in it */
  constructor(kind, creator = 'host') {
    this.kind = kind;
    this.creator = creator;
    /** Who pushes into r1 beside us. */
    this.others = [];
    /** Whether we do. */
    this.inside = false;
    this.tokens = 0;
    /** Answers of calls and commands that are not the usual ones, by name. */
    this.instead = {};
    this.network = fake((name, data) => this.call(name, data));
    const connect = wx.connectSocket;
    wx.connectSocket = (options) => {
      const task = connect(options);
      const socket = this.network.socket;
      const send = task.send;
      task.send = (frame) => {
        send(frame);
        const sent = JSON.parse(frame.data);
        Promise.resolve().then(() => this.command(socket, sent));
      };
      Promise.resolve().then(() => Promise.resolve()).then(() => this.instead.connect === undefined && socket.open());
      return task;
    };
  }

  get socket() {
    return this.network.socket;
  }

  get names() {
    return this.network.posts.map(({ name }) => name);
  }

  /** Bodies of one call so far. */
  bodies(name) {
    return this.network.posts.filter((post) => post.name === name).map(({ data }) => data);
  }

  call(name, data) {
    if (name in this.instead) return typeof this.instead[name] === 'function' ? this.instead[name](data) : this.instead[name];
    const good = { code: 0, message: 'ok' };
    switch (name) {
      case 'login':
        this.tokens += 1;
        return { ...good, userID: 'me', token: `t${this.tokens}` };
      case 'get_push_url':
        return { ...good, pushURL: PUSH };
      case 'get_room_list':
        return { ...good, rooms: [{ roomID: 'r1', roomInfo: 'Lesson', roomCreator: 'host', pushers: [] }] };
      case 'create_room':
        this.creator = 'me';
        return { ...good, roomID: data.roomID || 'r1' };
      case 'add_pusher':
        this.inside = true;
        return { ...good, roomID: 'r1' };
      case 'delete_pusher':
      case 'destroy_room':
        this.inside = false;
        return good;
      case 'get_pushers': {
        const pushers = [...this.others, ...(this.inside ? ['me'] : [])].map(pusher);
        return {
          ...good, roomID: 'r1', roomInfo: 'Lesson', roomCreator: this.creator,
          mixedPlayURL: 'https://gw.example/live/8888_host.flv?txSecret=3', pushers,
        }; // prettier-ignore
      }
      case 'merge_stream':
        return { ...good, result: { code: 0, message: '', timestamp: 1 } };
      default:
        return good;
    }
  }

  command(socket, { cmd, id, groupID }) {
    if (socket.closed) return;
    const instead = this.instead[`/im ${cmd}`];
    if (instead !== undefined) {
      if (instead) socket.receive({ re: id, ...instead });
      return;
    }
    const group = { groupID, JoinedStatus: 'JoinedSuccess', epoch: 7, seq: 0, first: 1 };
    socket.receive({ re: id, code: 0, ...(cmd === 'join' ? group : { seq: 1, time: 1 }) });
  }

  /** Something comes over the line. */
  async receive(frame) {
    this.socket.receive(frame);
    await this.tick();
  }

  /** Somebody writes to the room: `body` elements of [Data, Ext] or a text. */
  say(from, body, seq = 1, more = {}) {
    const MsgBody = body.map((element) =>
      typeof element === 'string'
        ? { MsgType: 'TIMTextElem', MsgContent: { Text: element } }
        : { MsgType: 'TIMCustomElem', MsgContent: { Data: element[0], Desc: element[2] || '', Ext: element[1] || '' } },
    );
    const entry = {
      Event: 3, From_Account: from, ToGroupId: 'r1', MsgSeq: seq, MsgRandom: seq, MsgTimeStamp: 1546300800,
      GroupInfo: { From_AccountNick: from }, MsgBody, ...more,
    }; // prettier-ignore
    return this.receive({ cmd: 'message', epoch: 7, messages: [entry] });
  }

  /** Somebody writes to us alone. */
  whisper(from, object) {
    const Data = typeof object === 'string' ? object : JSON.stringify(object);
    const MsgBody = [{ MsgType: 'TIMCustomElem', MsgContent: { Data, Desc: '', Ext: '' } }];
    return this.receive({ cmd: 'c2c', messages: [{ From_Account: from, To_Account: 'me', MsgSeq: 1, MsgBody }] });
  }

  async tick(ms = 0) {
    await settle();
    jest.advanceTimersByTime(ms);
    await settle();
  }

  /** Login of a library. */
  async login(library, more = {}) {
    const data = {
      serverDomain: `${DOMAIN}${this.kind}/`, userID: 'me', userSig: 'sig', sdkAppID: 1400000001, accType: '0',
      userName: 'Me', userAvatar: 'me.png', ...more,
    }; // prettier-ignore
    const answer = answers(library.login, data);
    await this.tick();
    return answer;
  }
}

/** Call something that takes {data, success, fail}; what came is in `good` and `bad`. */
function answers(call, data) {
  const answer = { good: [], bad: [] };
  call({ data, success: (value) => answer.good.push(value), fail: (failure) => answer.bad.push(failure) });
  return answer;
}

module.exports = { CHANGED, DOMAIN, PUSH, ServiceWorld, answers, notice, pusher };
