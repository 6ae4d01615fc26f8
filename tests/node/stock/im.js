/**
 * The old IM's library as its wire looks (1.7.0, for mini programs): the calls of a login in their order, the two long
 * polls, and the habits that a server has to bear. An exception of whoever listens leaves this file before the next poll
 * is sent, so that a message which cannot be read stops that poll for ever.
 */
const AGENT = 'websdkappid=537048168&v=1.7.0';
const ERRORS_IN_A_ROW = 10;
const GROUP = 'group_open_http_svc';
const FACES = ['[微笑]', '[呲牙]', '[OK]'];

/** Texts are escaped when they are read. */
const escaped = (text) => text.replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
const random = () => Math.floor(Math.random() * 4294967296);
const seconds = () => Math.round(Date.now() / 1000);

class Im {
  /** `wx` is the phone's, `host` the address of the IM. */
  constructor(wx, host) {
    Object.assign(this, { wx, host, who: null, identity: '', listeners: {} });
    /** Exceptions that listeners threw out of a poll: each has stopped that poll. */
    this.deaths = [];
    this.sequence = 0;
    this.tasks = new Set();
    this.reset();
  }

  reset() {
    Object.assign(this, { polls: false, kicked: false, errors: 0, timeout: 60, cookie: { NotifySeq: 0, NoticeSeq: 0 } });
    Object.assign(this, { group: null, groupPolls: false, groupErrors: 0, seen: new Set() });
  }

  // --- requests

  /** JSON under the type of a form. Any answer at all resets both counters of errors. */
  post(path, body, succeed = () => {}, fail = () => {}) {
    const { sdkAppID = '', accountType = '' } = this.who || {};
    const identity = this.identity ? `${this.identity}&` : '';
    const app = `sdkappid=${sdkAppID}&accounttype=${accountType}`;
    const query = `${AGENT}&${identity}contenttype=json&${app}&apn=1&reqtime=${seconds()}`;
    const task = this.wx.request({
      url: `${this.host}/${path}?${query}`,
      method: 'POST',
      data: JSON.stringify(body),
      header: { 'content-type': 'application/x-www-form-urlencoded' },
      success: ({ data }) => {
        this.errors = this.groupErrors = 0;
        if (data.ActionStatus === 'OK') succeed(data);
        else fail({ ...data, SrcErrorInfo: data.ErrorInfo });
      },
      fail: ({ errMsg }) => fail({ ActionStatus: 'FAIL', ErrorCode: -2, ErrorInfo: `${errMsg}[-2]` }),
      complete: () => this.tasks.delete(task),
    });
    this.tasks.add(task);
  }

  /** `who`: {sdkAppID, accountType, identifier, identifierNick, userSig}. */
  login(who, listeners, succeed, fail) {
    const lacks = [[-7, who.sdkAppID], [-8, who.accountType], [-9, who.userSig]].find(([, value]) => !value);
    if (lacks) return fail({ ActionStatus: 'FAIL', ErrorCode: lacks[0], ErrorInfo: 'login data is missing' });
    // Whatever an earlier login still asks for is broken off.
    this.polls = this.groupPolls = false;
    for (const task of [...this.tasks]) task.abort();
    this.reset();
    Object.assign(this, { who, listeners, identity: `identifier=${who.identifier}&usersig=${who.userSig}` });
    this.post('v4/openim/login', { State: 'Online' }, (answer) => {
      const lost = [[-10, answer.TinyId], [-11, answer.A2Key]].find(([, value]) => !value);
      if (lost) return fail({ ErrorCode: lost[0], ErrorInfo: 'no identity' });
      answer.A2Key.substring(0, 4);
      this.identity = `tinyid=${answer.TinyId}&a2=${answer.A2Key}`;
      this.introduce(succeed, fail);
    }, fail); // prettier-ignore
    return undefined;
  }

  introduce(succeed, fail) {
    const { identifier, identifierNick } = this.who;
    const tags = ['Tag_Profile_IM_Nick', 'Tag_Profile_IM_Image'];
    const profile = { From_Account: identifier, To_Account: [identifier], LastStandardSequence: 0, TagList: tags };
    const groups = { Member_Account: identifier, Limit: 1000, Offset: 0, GroupType: '',
      ResponseFilter: { GroupBaseInfoFilter: ['NextMsgSeq'] } }; // prettier-ignore
    const steps = [['profile/portrait_get', profile], [`${GROUP}/get_joined_group_list`, groups], ['openim/authkey', {}]];
    const step = () => {
      const next = steps.shift();
      if (next) {
        this.post(`v4/${next[0]}`, next[1], step, fail);
        return;
      }
      succeed({ ActionStatus: 'OK', ErrorCode: 0, ErrorInfo: 'login success', identifierNick, headurl: '' });
      // Nobody listens for an error here: after one failure there is no personal poll.
      this.post('v4/openim/getlongpollingid', {}, (answer) => {
        this.timeout = answer.Timeout;
        this.cookie.LongPollingId = answer.LongPollingId;
        this.polls = true;
        this.poll(60);
      });
      this.post('v4/imopenstat/web_report', { EvtItems: [] });
    };
    step();
  }

  setNick(nick, succeed, fail) {
    const item = { Tag: 'Tag_Profile_IM_Nick', Value: nick };
    const body = { From_Account: this.who.identifier, ProfileItem: [item] };
    this.post('v4/profile/portrait_set', body, succeed, fail);
  }

  logout() {
    this.polls = this.groupPolls = false;
    this.post('v4/openim/logout', {});
  }

  // --- the personal poll

  poll(timeout = this.timeout) {
    if (!this.polls) return;
    this.post(
      'v4/openim/longpolling',
      { Timeout: timeout, Cookie: this.cookie },
      (answer) => this.guarded('personal', () => this.personal(answer)) && this.poll(),
      (error) => {
        if (error.ErrorCode === 91101) {
          this.polls = false;
          this.kick();
        } else if (error.ErrorCode === 60008) {
          this.poll();
        } else {
          this.errors += 1;
          setTimeout(() => this.poll(), this.errors > ERRORS_IN_A_ROW ? 5000 : 100);
        }
      },
    );
  }

  personal(answer) {
    for (const event of answer.EventArray) {
      if (event.Event !== 9) continue;
      this.cookie.NoticeSeq = event.C2cMsgArray[0].NoticeSeq;
      const fresh = event.C2cMsgArray.filter((entry) => {
        const sum = `${entry.From_Account} ${entry.MsgSeq + entry.MsgRandom}`;
        return !this.seen.has(sum) && this.seen.add(sum);
      });
      if (fresh.length) this.listeners.onMsgNotify(fresh.map((entry) => read(entry, 'C2C')));
    }
  }

  // --- big groups

  joinBigGroup(id, succeed, fail) {
    const body = { GroupId: id, ApplyMsg: '', UserDefinedField: '' };
    this.post(`v4/${GROUP}/apply_join_group`, body, (answer) => {
      if (!answer.LongPollingKey) return fail({ ErrorCode: -12, ErrorInfo: 'not a big group' });
      this.group = id;
      this.groupPolls = true;
      this.pollGroup({ StartSeq: 0, HoldTime: 90, Key: answer.LongPollingKey });
      return succeed(answer);
    }, fail); // prettier-ignore
  }

  quitBigGroup(id) {
    this.post(`v4/${GROUP}/quit_group`, { GroupId: id }, () => {
      // The poll that is pending is not broken off: it ends by itself, and goes on if another group was joined by then.
      if (this.group === id) this.groupPolls = false;
    });
  }

  /** One loop; a second one may run on an old key. */
  pollGroup(next) {
    if (!this.groupPolls) return;
    this.post(
      'v1/group_open_long_polling_http_noauth_svc/get_msg',
      next,
      (answer) => {
        const { NextSeq: StartSeq, HoldTime, Key } = answer;
        if (this.listeners.onConnNotify) this.listeners.onConnNotify({ ErrorCode: 0 });
        const alive = this.guarded('group', () => this.entries(answer.RspMsgList || []));
        if (alive) this.pollGroup({ StartSeq, HoldTime, Key });
      },
      (error) => {
        // The other way round than it was meant: every error but 91101 counts as a kick, and the poll goes on at once.
        if (error.ErrorCode !== 91101) this.kick();
        this.groupErrors += error.ErrorCode === -2 ? 1 : 0;
        if (this.groupErrors < ERRORS_IN_A_ROW) this.pollGroup(next);
      },
    );
  }

  /** The list is walked from last to first, and so is what is handed on. */
  entries(list) {
    const messages = [];
    for (const entry of [...list].reverse()) {
      if (entry.IsPlaceMsg || !entry.From_Account || !entry.MsgBody || entry.MsgBody.length === 0) continue;
      if (entry.Event === 5) this.system(entry);
      else if (entry.Event === 3 || entry.Event === 4 || entry.Event === 6) messages.push(read(entry, 'GROUP'));
    }
    if (messages.length) this.listeners.onBigGroupMsgNotify(messages);
  }

  system({ MsgBody, GroupInfo, ToGroupId, MsgTimeStamp, MsgSeq }) {
    const { ReportType, UserDefinedField, Operator_Account } = MsgBody;
    const notify = { SrcFlag: 1, ReportType, GroupId: ToGroupId, GroupName: GroupInfo.GroupName, Operator_Account,
      MsgTime: MsgTimeStamp, MsgSeq, UserDefinedField }; // prettier-ignore
    const listener = this.listeners.onGroupSystemNotifys[ReportType];
    if (listener) listener(notify);
  }

  kick() {
    this.kicked = true;
    if (this.listeners.onKickedEventCall) this.listeners.onKickedEventCall();
  }

  /** Run what an answer sets off; an exception is the end of that poll. */
  guarded(poll, work) {
    try {
      work();
      return true;
    } catch (error) {
      this.deaths.push(`${poll} poll: ${error.message}`);
      return false;
    }
  }

  // --- sending

  sendGroup(id, elements, succeed, fail) {
    const body = { GroupId: id, From_Account: this.who.identifier, Random: random(), MsgPriority: 'COMMON',
      MsgBody: elements }; // prettier-ignore
    this.post(`v4/${GROUP}/send_group_msg`, body, succeed, fail);
  }

  sendTo(user, elements, succeed, fail) {
    this.sequence += 1;
    const body = { From_Account: this.who.identifier, To_Account: user, MsgTimeStamp: seconds(),
      MsgSeq: seconds() % 100000 * 1000 + this.sequence, MsgRandom: random(), MsgBody: elements }; // prettier-ignore
    this.post('v4/openim/sendmsg', body, succeed, fail);
  }
}

/** A message as pages get it: sender, nick (the account where there is none), and the contents of all elements joined. */
function read(entry, session) {
  const nick = (entry.GroupInfo && entry.GroupInfo.From_AccountNick) || entry.From_Account;
  const { From_Account: from } = entry;
  const elements = entry.Event === 4 || entry.Event === 6 ? [tip(entry.MsgBody)] : entry.MsgBody;
  const contents = elements.map(({ MsgType, MsgContent }) => {
    if (MsgType === 'TIMTextElem') return escaped(MsgContent.Text);
    return MsgType === 'TIMGroupTipElem' ? `${MsgContent.List_Account.join()}: ${MsgContent.OpType};` : MsgContent.Data;
  });
  return { session, from, nick, elements, content: contents.join('') };
}

/** The element that a tip of the system becomes: who came, went, was thrown out. */
function tip({ OpType, Operator_Account, List_Account = [Operator_Account] }) {
  return { MsgType: 'TIMGroupTipElem', MsgContent: { OpType, List_Account } };
}

const text = (Text) => ({ MsgType: 'TIMTextElem', MsgContent: { Text } });
const custom = (Data, Ext = '', Desc = '') => ({ MsgType: 'TIMCustomElem', MsgContent: { Data, Desc, Ext } });

/** A text with emoticons becomes several elements: `[..]` of one to three characters stands alone. */
function textElements(words) {
  return words.split(/(\[[^[\]]{1,3}\])/).filter(Boolean).map((piece) => {
    const Index = FACES.indexOf(piece);
    return Index < 0 ? text(piece) : { MsgType: 'TIMFaceElem', MsgContent: { Index, Data: piece } };
  }); // prettier-ignore
}

module.exports = { Im, custom, textElements };
