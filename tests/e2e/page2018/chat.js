// A chat of 2018: the requests of the IM library's web edition, and on them the chat of a room, whose group has the room's id.
var IM = (function () {
  var me = null; // {sdkAppID, accountType, identifier, nick, userSig, TinyId, A2Key}
  var heard = null; // {onMessages, onClosed, onKicked}
  var group = null; // {id, key, seq, hold}
  var requests = 0;

  /** The body is JSON, whatever the type says: that keeps browsers from asking first. */
  function post(version, service, command, body, timeout, succ, fail) {
    var who = me.A2Key ? 'tinyid=' + me.TinyId + '&a2=' + me.A2Key : 'identifier=' + me.identifier + '&usersig=' + me.userSig;
    var request = new XMLHttpRequest();
    request.open(
      'POST',
      IM_HOST + '/' + version + '/' + service + '/' + command + '?websdkappid=537048168&v=1.7.1&' + who + '&contenttype=json&sdkappid=' +
        me.sdkAppID + '&accounttype=' + me.accountType + '&apn=1&reqtime=' + Math.ceil(Date.now() / 1000) + '&seq=' + ++requests,
    );
    request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
    request.timeout = timeout;
    request.onload = function () {
      if (request.status !== 200) return fail({ ErrorCode: -2, ErrorInfo: 'HTTP ' + request.status });
      var answer = JSON.parse(request.responseText);
      if (answer.ActionStatus === 'OK') succ(answer);
      else fail(answer);
    };
    request.onerror = request.ontimeout = request.onabort = function () {
      fail({ ErrorCode: -2, ErrorInfo: 'network' });
    };
    request.send(JSON.stringify(body));
  }

  function login(info, listeners, succ, fail) {
    me = info;
    heard = listeners;
    post('v4', 'openim', 'login', { State: 'Online' }, 15000, function (answer) {
      me.TinyId = answer.TinyId;
      me.A2Key = answer.A2Key;
      me.A2Key.substring(0, 1); // it has to be a text
      var nick = [{ Tag: 'Tag_Profile_IM_Nick', Value: me.nick }];
      post('v4', 'profile', 'portrait_set', { From_Account: me.identifier, ProfileItem: nick }, 15000, succ, fail);
      post('v4', 'openim', 'getlongpollingid', {}, 15000, function (polling) {
        hear({ NotifySeq: 0, NoticeSeq: 0, LongPollingId: polling.LongPollingId }, polling.Timeout, me);
      });
    }, fail);
  }

  /** What comes to oneself: it matters here that one is thrown out. */
  function hear(cookie, timeout, who) {
    if (me !== who) return;
    post('v4', 'openim', 'longpolling', { Timeout: timeout, Cookie: cookie }, timeout * 1000, function () {
      hear(cookie, timeout, who);
    }, function (error) {
      if (me !== who) return;
      if (error.ErrorCode === 91101) return heard.onKicked();
      setTimeout(function () { hear(cookie, timeout, who); }, error.ErrorCode === 60008 ? 0 : 100);
    });
  }

  /** Whoever comes first makes the group; the id goes out as the room service gave it, or as a number. */
  function joinGroup(groupId, succ, fail) {
    var join = function () {
      post('v4', 'group_open_http_svc', 'apply_join_group', { GroupId: groupId, ApplyMsg: '', UserDefinedField: '' }, 15000, function (answer) {
        if (answer.JoinedStatus !== 'JoinedSuccess' || !answer.LongPollingKey) return fail(answer);
        group = { id: String(groupId), key: answer.LongPollingKey, seq: 0, hold: 90 };
        poll(group);
        succ(answer);
      }, fail);
    };
    var options = { Type: 'AVChatRoom', Name: String(groupId), GroupId: String(groupId), Owner_Account: me.identifier, MemberList: [], ApplyJoinOption: 'FreeAccess', Notification: '', Introduction: '' };
    post('v4', 'group_open_http_svc', 'create_group', options, 15000, join, function (error) {
      if (error.ErrorCode === 10025 || error.ErrorCode === 10021) join();
      else fail(error);
    });
  }

  function poll(of) {
    if (group !== of) return;
    var body = { StartSeq: of.seq, HoldTime: 90, Key: of.key };
    post('v1', 'group_open_long_polling_http_noauth_svc', 'get_msg', body, of.hold * 1000, function (answer) {
      of.seq = answer.NextSeq;
      of.key = answer.Key;
      of.hold = answer.HoldTime || 15;
      (answer.RspMsgList || []).forEach(function (entry) {
        if (entry.Event === 3) heard.onMessage(read(entry));
        if (entry.Event === 5 && entry.MsgBody.ReportType === 5) heard.onClosed();
      });
      poll(of);
    }, function () { poll(of); });
  }

  /** The chat of these pages: one custom element, its text in Data, the nick in Desc. */
  function read(entry) {
    var content = entry.MsgBody[0].MsgContent;
    return {
      who: content.Ext === 'TEXT' ? JSON.parse(content.Desc).nickName : entry.From_Account,
      from: entry.From_Account,
      text: content.Data,
      seq: entry.MsgSeq,
      isSend: entry.From_Account === me.identifier,
    };
  }

  function sendRoomTextMsg(text, succ, fail) {
    var element = { MsgType: 'TIMCustomElem', MsgContent: { Data: text, Desc: '{"nickName":"' + me.nick + '"}', Ext: 'TEXT' } };
    var body = { GroupId: group.id, From_Account: me.identifier, Random: Math.round(Math.random() * 4294967295), MsgPriority: 'COMMON', MsgBody: [element] };
    post('v4', 'group_open_http_svc', 'send_group_msg', body, 15000, succ, fail);
  }

  /** As the page's exit: the polls end, and the server hears of it. */
  function logout() {
    var who = me;
    group = null;
    post('v4', 'openim', 'logout', {}, 15000, function () {}, function () {});
    if (me === who) me = null;
  }

  return { login: login, joinGroup: joinGroup, sendRoomTextMsg: sendRoomTextMsg, logout: logout };
})();
