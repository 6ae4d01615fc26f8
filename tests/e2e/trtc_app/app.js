// A video call with the TRTC v5 web library, written by its public documentation: enter a room, send camera, microphone
// and screen, play the others, choose devices, mute, see volume and quality, exchange messages.
import TRTC from 'trtc-sdk-v5';

const $ = (id) => document.getElementById(id);
const trtc = TRTC.create();

function log(...words) {
  const line = document.createElement('li');
  line.textContent = words.join(' ');
  $('log').append(line);
}

/** Run what a button asks for; what fails is shown. */
function onClick(id, action) {
  $(id).addEventListener('click', async () => {
    $(id).disabled = true;
    try {
      await action();
      log(`${id}: done`);
    } catch (error) {
      log(`${id}: failed`, error.name, error.code, error.extraCode, error.message);
    } finally {
      $(id).disabled = false;
    }
  });
}

// --- the room

const supported = await TRTC.isSupported();
if (!supported.result) log('this browser is not supported', JSON.stringify(supported.detail));

onClick('enter', async () => {
  await trtc.enterRoom({
    sdkAppId: parseInt($('sdkAppId').value, 10),
    userId: $('userId').value,
    userSig: $('userSig').value,
    roomId: parseInt($('roomId').value, 10),
    scene: TRTC.TYPE.SCENE_RTC,
  });
  $('exit').disabled = false;
  await listDevices();
});

onClick('exit', async () => {
  await trtc.exitRoom();
  await trtc.stopLocalVideo();
  await trtc.stopLocalAudio();
  $('remote').replaceChildren();
});

trtc.on(TRTC.EVENT.CONNECTION_STATE_CHANGED, (event) => {
  log(`connection: ${event.prevState} -> ${event.state}`);
  $('state').value = event.state;
});

trtc.on(TRTC.EVENT.ERROR, (error) => log('error:', error.code, error.extraCode, error.message));

trtc.on(TRTC.EVENT.KICKED_OUT, (event) => {
  log(`kicked out: ${event.reason}`);
  $('remote').replaceChildren();
});

// --- devices

async function listDevices() {
  for (const [id, devices] of [
    ['cameras', await TRTC.getCameraList()],
    ['microphones', await TRTC.getMicrophoneList()],
  ]) {
    $(id).replaceChildren(...devices.map((device) => new Option(device.label, device.deviceId)));
  }
}

$('cameras').addEventListener('change', async () => {
  await trtc.updateLocalVideo({ option: { cameraId: $('cameras').value } });
  log('camera:', trtc.getVideoTrack().getSettings().deviceId === $('cameras').value);
});

$('microphones').addEventListener('change', async () => {
  await trtc.updateLocalAudio({ option: { microphoneId: $('microphones').value } });
  log('microphone:', trtc.getAudioTrack().getSettings().deviceId === $('microphones').value);
});

trtc.on(TRTC.EVENT.DEVICE_CHANGED, (event) => {
  $('device-changes').textContent = `${event.type} ${event.action} ${event.device.label}`;
});

// --- sending

onClick('camera-on', () => trtc.startLocalVideo({ view: 'local', option: { profile: '480p' } }));
onClick('camera-off', () => trtc.stopLocalVideo());
onClick('microphone-on', () => trtc.startLocalAudio({ option: { profile: TRTC.TYPE.AUDIO_PROFILE_STANDARD } }));
onClick('microphone-off', () => trtc.stopLocalAudio());
$('mute-video').addEventListener('change', () => trtc.updateLocalVideo({ mute: $('mute-video').checked }));
$('mute-audio').addEventListener('change', () => trtc.updateLocalAudio({ mute: $('mute-audio').checked }));

onClick('share-on', () => trtc.startScreenShare({ view: $('local-screen'), option: { profile: '720p' } }));
onClick('share-off', () => trtc.stopScreenShare());
trtc.on(TRTC.EVENT.SCREEN_SHARE_STOPPED, () => log('screen share was stopped'));

trtc.on(TRTC.EVENT.PUBLISH_STATE_CHANGED, (event) => {
  log(`publish: ${event.mediaType} ${event.prevState} -> ${event.state} ${event.reason ?? ''}`);
  $('publishing').textContent = `${event.mediaType} ${event.state}`;
});

// --- the others

/** A place for the picture of one stream, as the documentation names it. */
function place(userId, streamType) {
  const id = `${userId}_${streamType}`;
  if ($(id)) return id;
  const figure = document.createElement('figure');
  const view = Object.assign(document.createElement('div'), { id, className: 'picture' });
  const caption = document.createElement('figcaption');
  caption.textContent = `${userId} (${streamType})`;
  figure.append(view, caption);
  $('remote').append(figure);
  return id;
}

trtc.on(TRTC.EVENT.REMOTE_USER_ENTER, (event) => log(`${event.userId} entered`));
trtc.on(TRTC.EVENT.REMOTE_USER_EXIT, (event) => {
  log(`${event.userId} left`);
  for (const type of ['main', 'sub']) $(`${event.userId}_${type}`)?.parentElement.remove();
});

trtc.on(TRTC.EVENT.REMOTE_VIDEO_AVAILABLE, async ({ userId, streamType }) => {
  log(`${userId} ${streamType} video available`);
  await trtc.startRemoteVideo({
    userId,
    streamType,
    view: place(userId, streamType),
    option: { fillMode: streamType === TRTC.TYPE.STREAM_TYPE_SUB ? 'contain' : 'cover' },
  });
});

trtc.on(TRTC.EVENT.REMOTE_VIDEO_UNAVAILABLE, async ({ userId, streamType }) => {
  log(`${userId} ${streamType} video unavailable`);
  await trtc.stopRemoteVideo({ userId, streamType });
  $(`${userId}_${streamType}`)?.parentElement.remove();
});

trtc.on(TRTC.EVENT.REMOTE_AUDIO_AVAILABLE, ({ userId }) => log(`${userId} audio available`));
trtc.on(TRTC.EVENT.REMOTE_AUDIO_UNAVAILABLE, ({ userId }) => log(`${userId} audio unavailable`));
trtc.on(TRTC.EVENT.AUTOPLAY_FAILED, ({ userId }) => log(`sound of ${userId} needs a click`));

trtc.on(TRTC.EVENT.VIDEO_PLAY_STATE_CHANGED, ({ userId, streamType, state, reason }) => {
  log(`video of ${userId || 'me'} ${streamType}: ${state} ${reason}`);
});
trtc.on(TRTC.EVENT.AUDIO_PLAY_STATE_CHANGED, ({ userId, state, reason }) => {
  log(`audio of ${userId || 'me'}: ${state} ${reason}`);
});

// The track itself, for a recorder or a meter of one's own.
trtc.on(TRTC.EVENT.TRACK, ({ userId, track }) => {
  if (!userId || track.kind !== 'audio') return;
  const id = `${userId}_sound`;
  const own = $(id) ?? Object.assign(document.createElement('audio'), { id, muted: true });
  own.srcObject = new MediaStream([track]);
  document.body.append(own);
});

// --- volume, quality, numbers

trtc.enableAudioVolumeEvaluation(500);
trtc.on(TRTC.EVENT.AUDIO_VOLUME, (event) => {
  event.result.forEach(({ userId, volume }) => {
    if (userId === '') $('my-volume').value = volume;
    else if ($(`${userId}_main`)) $(`${userId}_main`).dataset.loudest = Math.max(volume, $(`${userId}_main`).dataset.loudest ?? 0);
  });
});

trtc.on(TRTC.EVENT.NETWORK_QUALITY, (event) => {
  $('network').textContent =
    `up ${event.uplinkNetworkQuality} (${event.uplinkRTT} ms, ${event.uplinkLoss} %), ` +
    `down ${event.downlinkNetworkQuality} (${event.downlinkRTT} ms, ${event.downlinkLoss} %)`;
});

trtc.on(TRTC.EVENT.STATISTICS, (statistics) => {
  $('statistics').textContent = JSON.stringify({
    rtt: statistics.rtt,
    sent: statistics.localStatistics.video.map(({ width, height, frameRate, bitrate }) => ({ width, height, frameRate, bitrate })),
    received: statistics.remoteStatistics.map(({ userId, audio, video }) => ({ userId, audio: audio.bitrate, video: video.map(({ bitrate }) => bitrate) })),
  });
});

// --- messages

trtc.on(TRTC.EVENT.CUSTOM_MESSAGE, ({ userId, cmdId, seq, data }) => {
  const line = document.createElement('li');
  line.textContent = `${userId} ${cmdId} ${typeof seq}: ${new TextDecoder().decode(data)}`;
  $('messages').append(line);
});

onClick('send', () => trtc.sendCustomMessage({ cmdId: 1, data: new TextEncoder().encode($('words').value).buffer }));

log('ready');
