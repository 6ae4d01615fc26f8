/**
 * A phone with one of the pages of 2018 on it: the room library behind it, the tags before it, as the components rtc-room
 * and live-room join the two. `library(wx, imHost)` makes the room library.
 */
const { Wx } = require('./wx.js');

const PUSH_BEGIN = 1002;
const PLAYING = 2004;
const RECORDED_S = 2.5;

/** Names that people gave themselves, as awkward as they were. */
const nameOf = (user) => `${user} <b>}} & {co}`;

class Phone {
  /** `given` is what the test is told: {server, im, folder, files, users: {NAME: {userSig, sdkAppID}}}. */
  constructor(given, user, kind, library) {
    Object.assign(this, { given, user, kind });
    this.wx = new Wx({ user, file: given.files[user], folder: given.folder });
    this.room = library(this.wx, given.im);
    this.players = new Map();
    /** What the page was told, in order: [name, detail]. */
    this.events = [];
    this.texts = [];
    this.pusher = null;
  }

  say(name, detail) {
    this.events.push([name, detail]);
  }

  heard(name) {
    return this.events.filter(([event]) => event === name).map(([, detail]) => detail);
  }

  /** The sample's way in: who am I, by GET with the code of WeChat's own login, then the two logins. */
  async login() {
    const own = this.given.users[this.user];
    const query = { userID: this.user, userIDPrefix: 'weixin', code: '071x' };
    const info = own || (await this.get('utils/get_login_info', query));
    const { userSig, sdkAppID, accType = '0' } = info;
    const account = { userID: this.user, userName: nameOf(this.user), userSig, sdkAppID, accType };
    const serverDomain = `${this.given.server}/weapp/${this.kind}/`;
    await new Promise((success, fail) => {
      this.room.login({ data: { ...account, serverDomain }, success, fail });
    });
  }

  get(path, data) {
    return new Promise((resolve, fail) => {
      const success = ({ data: answer }) => (answer.code ? fail(answer) : resolve(answer));
      this.wx.request({ url: `${this.given.server}/weapp/${path}`, method: 'GET', data, success, fail });
    });
  }

  rooms() {
    return new Promise((success, fail) => {
      this.room.getRoomList({ data: { index: 0, cnt: 20 }, success: ({ rooms }) => success(rooms), fail });
    });
  }

  /** A call that the library has no function for. */
  ask(name, body) {
    const { userID, token } = this.room.getAccountInfo();
    const url = `${this.given.server}/weapp/${this.kind}/${name}?userID=${userID}&token=${token}`;
    return new Promise((resolve, fail) => {
      this.wx.request({ url, method: 'POST', data: body, success: ({ data }) => resolve(data), fail });
    });
  }

  /** The pusher tag gets its address; `begun` once, at the code that says so. */
  push(url, begun) {
    let first = true;
    const say = (code) => {
      this.say('push', code);
      if (code === PUSH_BEGIN && first) begun();
      first = first && code !== PUSH_BEGIN;
    };
    this.pusher = this.wx.createLivePusherContext({ url, say });
    this.pusher.start();
  }

  /** A player for somebody, once; `name` says whom it shows. */
  play(name, src, mode = 'RTC') {
    if (this.players.has(name)) return;
    const player = { codes: [], src };
    this.players.set(name, player);
    player.tag = this.wx.createLivePlayerContext(name, { src, mode, say: (code) => player.codes.push(code) });
    player.tag.play();
  }

  stopPlaying(name) {
    const player = this.players.get(name);
    if (player) player.tag.stop();
    this.players.delete(name);
  }

  sees(...names) {
    return names.every((name) => this.players.has(name) && this.players.get(name).codes.includes(PLAYING));
  }

  /** Whether so much of everybody is recorded that it can be told who it is. */
  hasSeen(...names) {
    return names.every((name) => this.players.has(name) && this.players.get(name).tag.seconds >= RECORDED_S);
  }

  /** What there is to say about it when a test fails. */
  state() {
    const playing = [...this.players].map(([name, { codes, tag }]) => [name, codes, tag.seconds]);
    return JSON.stringify([this.user, this.events, playing, this.wx.troubles]);
  }

  stopTags() {
    if (this.pusher) this.pusher.stop();
    this.pusher = null;
    [...this.players.keys()].forEach((name) => this.stopPlaying(name));
  }

  text(words) {
    return new Promise((success, fail) => {
      this.room.sendRoomTextMsg({ data: { msg: words }, success, fail });
    });
  }

  /** What people say, and what the system says of them. */
  hear(message) {
    if (message.userID) this.texts.push(message);
    else this.say('notice', message.textMsg || message.message);
  }

  /** Whether both polls of the IM are under way. */
  polls() {
    return this.wx.pending('/longpolling') >= 1 && this.wx.pending('/get_msg') >= 1;
  }

  close() {
    this.wx.close();
  }
}

/** The component rtc-room: pushes, is in the room when its push has begun, plays everybody else. */
class RtcPhone extends Phone {
  start({ roomID = '', roomInfo = '' }) {
    this.room.setListener({
      onPusherJoin: ({ pushers }) => this.show(pushers),
      onPusherQuit: ({ pushers }) => pushers.forEach(({ userID }) => this.gone(userID)),
      onRoomClose: () => this.closed(),
      onRecvRoomTextMsg: (message) => this.hear(message),
    });
    const fail = (name) => (error) => this.say('error', [name, error.errCode]);
    const enter = (id, pushURL) =>
      this.room.enterRoom({
        data: { roomID: id, roomInfo, pushURL },
        success: () => this.say('entered', id),
        fail: (error) => {
          fail('enterRoom')(error);
          this.stop();
        },
      });
    const push = (id) =>
      this.room.getPushURL({
        data: { roomID: id },
        success: ({ pushURL }) => this.push(pushURL, () => enter(id, pushURL)),
        fail: fail('getPushURL'),
      });
    if (roomID) {
      push(roomID);
      this.room.getPushers({ data: { roomID }, success: ({ pushers }) => this.show(pushers), fail: fail('getPushers') });
    } else {
      this.room.createRoom({ data: { roomInfo }, success: ({ roomID: id }) => push(id), fail: fail('createRoom') });
    }
  }

  show(pushers) {
    if (pushers.length > (this.kind === 'double_room' ? 1 : 3)) this.say('error', ['show', -8]);
    else pushers.forEach(({ userID, accelerateURL }) => this.play(userID, accelerateURL));
    this.say('join', pushers.map(({ userID }) => userID)); // prettier-ignore
  }

  gone(userID) {
    this.say('quit', userID);
    this.stopPlaying(userID);
  }

  closed() {
    this.say('roomClosed');
    this.stop();
  }

  stop() {
    this.stopTags();
    return new Promise((resolve) => {
      this.room.exitRoom({ success: () => resolve(0), fail: ({ errCode }) => resolve(errCode) });
    });
  }
}

/** The component live-room, as presenter or in the audience. The host's stream is shown as HOST-mixed or HOST. */
class LivePhone extends Phone {
  listen(more = {}) {
    this.room.setListener({
      onPusherJoin: ({ pushers }) => this.show(pushers),
      onPusherQuit: ({ pushers }) => pushers.forEach(({ userID }) => this.gone(userID)),
      onRoomClose: () => this.say('roomClosed'),
      onRecvRoomTextMsg: (message) => this.hear(message),
      onPushersChange: () => this.say('change'),
      onSketchpadData: (data) => this.say('sketchpad', data),
      ...more,
    });
  }

  show(pushers) {
    const others = pushers.filter(({ userID }) => userID !== this.user && userID !== this.host);
    others.forEach(({ userID, accelerateURL }) => this.play(userID, accelerateURL));
    this.say('join', others.map(({ userID }) => userID)); // prettier-ignore
  }

  gone(userID) {
    this.say('quit', userID);
    this.stopPlaying(userID);
  }

  present(roomInfo) {
    this.listen({ onRecvJoinPusherRequest: (pusher) => this.say('joinPusher', pusher) });
    const fail = ({ errCode }) => this.say('error', errCode);
    const create = (pushURL) =>
      this.room.createRoom({ data: { roomInfo, pushURL }, success: ({ roomID }) => this.say('created', roomID), fail });
    this.room.getPushURL({ success: ({ pushURL }) => this.push(pushURL, () => create(pushURL)), fail });
  }

  enter(roomID) {
    this.listen({ onKickOut: () => this.quitLink() });
    const success = ({ mixedPlayURL, roomCreator, pushers }) => {
      Object.assign(this, { roomID, host: pushers[0].userID, mixedPlayURL, accelerateURL: pushers[0].accelerateURL });
      if (this.host !== roomCreator) this.say('error', 'the first pusher is not the host');
      this.room.sendC2CCustomMsg({ cmd: 'sketchpad', msg: '{"type":"request", "action":"currentPPT"}' });
      this.play(`${this.host}-mixed`, mixedPlayURL, 'live');
      this.say('entered', roomID);
    };
    this.room.enterRoom({ data: { roomID }, success, fail: ({ errCode }) => this.say('error', errCode) });
  }

  /** Ask the host; if it agrees play it without delay, push, and be in. Resolves with the code of the answer. */
  link(timeout) {
    return new Promise((resolve) => {
      const join = (pushURL) => {
        const data = { roomID: this.roomID, pushURL };
        const fail = ({ errCode }) => this.say('error', errCode);
        this.room.joinPusher({ data, success: () => this.say('LinkOn'), fail });
      };
      const success = ({ errCode }) => {
        this.stopPlaying(`${this.host}-mixed`);
        this.play(this.host, this.accelerateURL);
        this.room.getPushURL({ success: ({ pushURL }) => this.push(pushURL, () => join(pushURL)) });
        resolve(errCode);
      };
      this.room.requestJoinPusher({ data: { timeout }, success, fail: ({ errCode }) => resolve(errCode) });
    });
  }

  /** Back to the audience, by its own wish or the host's. */
  quitLink() {
    const success = () => {
      this.stopTags();
      this.play(`${this.host}-mixed`, this.mixedPlayURL, 'live');
      this.say('LinkOut');
    };
    this.room.quitPusher({ success, fail: ({ errCode }) => this.say('error', errCode) });
  }

  respond(agree, audience) {
    if (agree) this.room.acceptJoinPusher({ data: audience });
    else this.room.rejectJoinPusher({ data: { ...audience, reason: 'not now' } });
  }

  /** The next request for link-mic. */
  async asks() {
    this.answered = (this.answered || 0) + 1;
    await until(() => this.heard('joinPusher').length >= this.answered, `request ${this.answered}`);
    return this.heard('joinPusher')[this.answered - 1];
  }

  async answers(agree) {
    this.respond(agree, await this.asks());
  }

  kickOut(userID) {
    this.room.kickoutSubPusher({ data: { userID }, success: () => this.say('kicked', userID) });
  }

  stop() {
    this.stopTags();
    return new Promise((resolve) => {
      this.room.exitRoom({ success: () => resolve(0), fail: ({ errCode }) => resolve(errCode) });
    });
  }
}

/** The component webrtc-room and the sample around it: the seven calls, one call for the address, `/im` for the rest. */
class WebrtcPhone extends Phone {
  async login() {
    this.account = await this.room.getLoginInfo(this.user);
  }

  /** Make a room, or enter one; be in it with picture, sound and messages. */
  async start({ roomID = '', roomInfo = '' }) {
    const { userID, sdkAppID, userSig } = this.account;
    const entered = roomID ? await this.room.enterRoom(userID, roomID) : await this.room.createRoom(userID, roomInfo);
    this.roomID = entered.roomID;
    this.room.startHeartBeat(userID, this.roomID, (error) => this.say('error', error.errCode));
    const tickets = { userID, roomID: this.roomID, userSig, privateMapKey: entered.privateMapKey };
    const { pushURL, members } = await this.room.getPushURL(tickets);
    this.listen({ ...tickets, sdkAppID });
    members.forEach((member) => this.play(member.userID, member.accelerateURL));
    this.push(pushURL, () => this.say('entered', this.roomID));
  }

  listen(login) {
    this.im = this.wx.connectSocket({ url: `${this.given.im.replace('http', 'ws')}/im` });
    this.im.onOpen(() => this.im.send({ data: JSON.stringify({ cmd: 'login', id: 1, ...login }) }));
    this.im.onMessage(({ data }) => this.frame(JSON.parse(data)));
  }

  /** Frames of the server. The list is complete and without oneself: what is not in it has gone. */
  frame({ cmd, userlist, messages }) {
    if (cmd === 'userlist') {
      const names = userlist.map(({ userid }) => userid);
      [...this.players.keys()].filter((name) => !names.includes(name)).forEach((name) => this.stopPlaying(name));
      userlist.forEach(({ userid, playurl }) => this.play(userid, playurl));
      this.say('userlist', names);
    } else if (cmd === 'message') {
      messages.forEach((entry) => {
        const { Text, Data } = entry.MsgBody[0].MsgContent;
        this.texts.push({ userID: entry.From_Account, textMsg: Text || Data });
      });
    }
  }

  text(words) {
    const MsgContent = { Data: words, Ext: 'TEXT', Desc: JSON.stringify({ nickName: this.user }) };
    const body = [{ MsgType: 'TIMCustomElem', MsgContent }];
    const random = Math.floor(Math.random() * 2 ** 31);
    this.im.send({ data: JSON.stringify({ cmd: 'send', id: 2, random, body }) });
  }

  async stop() {
    this.room.stopHeartBeat();
    this.stopTags();
    this.im.close();
    await this.room.quitRoom(this.user, this.roomID);
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Wait until `check()` is true. */
async function until(check, what, timeout = 30000) {
  const end = Date.now() + timeout;
  while (!check()) {
    if (Date.now() > end) throw new Error(`not within ${timeout} ms: ${typeof what === 'function' ? what() : what}`);
    await sleep(20);
  }
}

module.exports = { LivePhone, RtcPhone, WebrtcPhone, nameOf, sleep, until };
