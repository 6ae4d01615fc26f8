// A page of 2018: log in, create or enter a room by the room service, then call with WebRTCAPI; pictures by videoId.
var RTC = null;
var room = null;
var login = null;
var events = [];
var messages = [];

function note(name, info) {
  var plain = {};
  for (var key in info) {
    plain[key] = info[key] instanceof MediaStream ? 'stream of ' + info[key].getTracks().length : info[key];
  }
  events.push({ name: name, info: plain });
}

function video(id) {
  var element = document.getElementById(id);
  if (!element) {
    element = document.createElement('video');
    element.id = id;
    element.autoplay = true;
    element.width = 320;
    document.getElementById('remote').appendChild(element);
  }
  return element;
}

function bind() {
  RTC.on('*', function (name, info) {
    note(name, info);
  });
  RTC.on('onLocalStreamAdd', function (info) {
    document.getElementById('local').srcObject = info.stream;
  });
  RTC.on('onRemoteStreamUpdate', function (info) {
    var element = video(info.videoId);
    element.setAttribute('data-user', info.userId);
    element.srcObject = info.stream;
  });
  RTC.on('onRemoteStreamRemove', function (info) {
    var element = document.getElementById(info.videoId);
    if (element) element.parentNode.removeChild(element);
  });
}

function promised(call) {
  return new Promise(function (resolve, reject) {
    call(resolve, reject);
  });
}

/** The way of the old page: ticket, room, library, media room. Without a room id one is created. */
function start(userID, roomID, options, roomOptions) {
  return promised(function (succ, fail) {
    WebRTCRoom.getLoginInfo(userID, succ, fail);
  })
    .then(function (res) {
      login = res.data;
      return promised(function (succ, fail) {
        if (roomID) WebRTCRoom.enterRoom(userID, userID, roomID, succ, fail);
        else WebRTCRoom.createRoom(userID, userID, 'lesson', succ, fail);
      });
    })
    .then(function (res) {
      room = res.data;
      return call(userID, options, roomOptions);
    });
}

/** After a reload: whoever made the room finds its number in its browser, and asks the room service for nothing. */
function again(userID, roomID, options, roomOptions) {
  return promised(function (succ, fail) {
    WebRTCRoom.getLoginInfo(userID, succ, fail);
  }).then(function (res) {
    login = res.data;
    room = { roomID: roomID };
    return call(userID, options, roomOptions);
  });
}

function call(userID, options, roomOptions) {
  WebRTCRoom.startHeartBeat(userID, room.roomID, function (user, id) { events.push({ name: 'heartbeat', info: { user: user, room: id } }); });
  return promised(function (succ, fail) {
    RTC = new WebRTCAPI(
      Object.assign({ sdkAppId: login.sdkAppID, openid: userID, userSig: login.userSig, accountType: login.accountType }, options),
      succ,
      fail,
    );
    bind();
  })
    .then(function () {
      return promised(function (succ, fail) {
        RTC.createRoom(Object.assign({ roomid: parseInt(room.roomID, 10), role: 'miniwhite' }, roomOptions), succ, fail);
      });
    })
    .then(function () {
      return room.roomID;
    });
}

/** The chat beside it, in the group of the room. */
function chat(nick) {
  var info = { sdkAppID: login.sdkAppID, accountType: login.accountType, identifier: login.userID, userSig: login.userSig, nick: nick };
  var listeners = {
    onMessage: function (message) { messages.push(message); },
    onClosed: function () { events.push({ name: 'chat closed', info: {} }); },
    onKicked: function () { events.push({ name: 'chat kicked', info: {} }); },
  };
  return promised(function (succ, fail) {
    IM.login(info, listeners, succ, fail);
  }).then(function () {
    return promised(function (succ, fail) {
      IM.joinGroup(parseInt(room.roomID, 10), succ, fail);
    });
  });
}
