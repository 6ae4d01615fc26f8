/**
 * The one place that names your gateway: scheme, name and, if it is not 443, port.
 * A phone in production needs https here; the developer tool, with its domain check off, also takes http.
 */
const server = 'http://127.0.0.1:8080';

module.exports = {
  /** What the room service and the message socket (the same name with ws or wss, path /im) are reached by. */
  server,
  /** The room service as utils/webrtcroom.js calls it. */
  webrtcServerUrl: `${server}/webrtc/weapp/webrtc_room`,
};
