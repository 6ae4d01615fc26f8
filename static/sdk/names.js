// @ts-check
/** TRTC.EVENT and TRTC.TYPE, with the values that the TRTC v5 library has. */

export const EVENT = Object.freeze({
  ERROR: 'error',
  AUTOPLAY_FAILED: 'autoplay-failed',
  KICKED_OUT: 'kicked-out',
  REMOTE_USER_ENTER: 'remote-user-enter',
  REMOTE_USER_EXIT: 'remote-user-exit',
  REMOTE_AUDIO_AVAILABLE: 'remote-audio-available',
  REMOTE_AUDIO_UNAVAILABLE: 'remote-audio-unavailable',
  REMOTE_VIDEO_AVAILABLE: 'remote-video-available',
  REMOTE_VIDEO_UNAVAILABLE: 'remote-video-unavailable',
  AUDIO_VOLUME: 'audio-volume',
  NETWORK_QUALITY: 'network-quality',
  CONNECTION_STATE_CHANGED: 'connection-state-changed',
  AUDIO_PLAY_STATE_CHANGED: 'audio-play-state-changed',
  VIDEO_PLAY_STATE_CHANGED: 'video-play-state-changed',
  SCREEN_SHARE_STOPPED: 'screen-share-stopped',
  DEVICE_CHANGED: 'device-changed',
  PUBLISH_STATE_CHANGED: 'publish-state-changed',
  TRACK: 'track',
  STATISTICS: 'statistics',
  SEI_MESSAGE: 'sei-message',
  FIRST_VIDEO_FRAME: 'first-video-frame',
  VIDEO_SIZE_CHANGED: 'video-size-changed',
  CUSTOM_MESSAGE: 'custom-message',
  /** Ours: `{message}`, in the order of the room, each once, the own ones too (chat.js). */
  MESSAGE_RECEIVED: 'message-received',
  /** Ours: `{message}` to this member alone, with `to`. */
  C2C_MESSAGE: 'c2c-message',
  /** Ours: the messages known so far belong to a room that is over. */
  HISTORY_RESET: 'history-reset',
  /** Ours: who is there and what they send has changed (see `getRoom`). */
  ROOM_CHANGED: 'room-changed',
  /** Ours: `{audio, video, words, by}`, what of oneself moderators have muted has changed. */
  MODERATED: 'moderated',
  /** Ours: `{userId, streamType, message}`, words for people about somebody's stream. */
  NOTICE: 'notice',
  /** Ours: `{streamType, url, state, reason, message}`, how the push of an own stream to elsewhere stands. */
  RELAY_STATE_CHANGED: 'relay-state-changed',
});

export const TYPE = Object.freeze({
  ROLE_ANCHOR: 'anchor',
  ROLE_AUDIENCE: 'audience',
  SCENE_RTC: 'rtc',
  SCENE_LIVE: 'live',
  STREAM_TYPE_MAIN: 'main',
  STREAM_TYPE_SUB: 'sub',
  AUDIO_PROFILE_STANDARD: 'standard',
  AUDIO_PROFILE_STANDARD_STEREO: 'standard-stereo',
  AUDIO_PROFILE_HIGH: 'high',
  AUDIO_PROFILE_HIGH_STEREO: 'high-stereo',
  QOS_PREFERENCE_SMOOTH: 'smooth',
  QOS_PREFERENCE_CLEAR: 'clear',
});
