/**
 * The one place that names your gateway: scheme, name and, if it is not 443, port.
 * A phone in production needs https here; the developer tool, with its domain check off, also takes http.
 */
const server = 'http://127.0.0.1:8080';

module.exports = {
  /** What everything is reached by; the message socket is the same name with ws or wss, path /im. */
  server,
  /** Who gives a login: a business server of your own, in production. */
  serverUrl: server,
  /** RoomService: the rooms of rtc-room and live-room, below /weapp/<kind>/. */
  roomServiceUrl: server,
  /** The rooms of webrtc-room, as utils/webrtcroom.js calls them. */
  webrtcServerUrl: `${server}/webrtc/weapp/webrtc_room`,
};
