// @ts-check
/**
 * Test content in a browser: the pictures and tones of content.py, made here as tracks and read back from what plays.
 *
 * Loaded into the gateway's page by the tests; everything goes through the public library (`trtc`).
 */

const BITS = 16;
const FLASH_S = 0.2;

/** Joins rooms by the library; one `Peer` is one member. */
class Peer {
  constructor(trtc, TRTC) {
    this.trtc = trtc;
    this.events = [];
    this.watched = new Map();
    for (const name of Object.values(TRTC.EVENT)) {
      trtc.on(name, (detail) => this.events.push([name, plain(detail), performance.now()]));
    }
  }

  /** Send the content of one maker as camera and microphone. */
  async send(maker, { audio = true, video = true } = {}) {
    this.source?.stop();
    this.source = await makeSource(maker);
    if (audio) await this.trtc.startLocalAudio({ option: { audioTrack: this.source.audio } });
    if (video) {
      const profile = { width: maker.width, height: maker.height, frameRate: maker.fps, bitrate: 800 };
      await this.trtc.startLocalVideo({ option: { videoTrack: this.source.video, profile, mirror: false } });
    }
  }

  /** Ask for everybody's picture as it comes, and note what is seen and heard. */
  watchAll() {
    const start = ({ userId, streamType = 'main' }) => this.watch(userId, streamType);
    this.trtc.on('remote-video-available', start);
    for (const info of this.trtc.getRoom()?.streams ?? []) {
      if (info.video) start({ userId: info.userId, streamType: info.stream === 'aux' ? 'sub' : 'main' });
    }
  }

  watch(userId, streamType = 'main') {
    const key = `${userId}/${streamType}`;
    if (this.watched.has(key)) return;
    this.clocking ??= this.clock();
    const place = document.createElement('div');
    place.style.width = '160px';
    place.style.height = '120px';
    document.body.append(place);
    const watch = { place, frames: [], clocks: [], unreadable: 0, ears: null, track: null };
    this.watched.set(key, watch);
    this.trtc.startRemoteVideo({ userId, streamType, view: place }).catch((error) => (watch.error = String(error)));
    const look = () => {
      const video = place.querySelector('video');
      if (!video) return setTimeout(look, 50);
      eyes(video, watch);
    };
    look();
    const listen = () => {
      const track = this.trtc.getAudioTrack({ userId, streamType });
      if (track && track !== watch.track) {
        watch.ears?.stop();
        watch.track = track;
        watch.ears = ears(track);
      }
      if (this.watched.get(key) === watch) setTimeout(listen, 100);
    };
    listen();
  }

  /**
   * Notes, four times a second, how the sender's clock stands to the page's for each track that plays: by that, skew
   * can be told as it was sent, however far a busy machine's jitter buffers have sound and picture apart just now.
   */
  async clock() {
    while (!this.stopped) {
      const report = (await this.trtc.getStats()).down;
      const playing = new Map();
      for (const entry of report?.values() ?? []) {
        if (entry.type !== 'inbound-rtp' || !entry.estimatedPlayoutTimestamp) continue;
        playing.set(entry.trackIdentifier, entry.estimatedPlayoutTimestamp - (entry.timestamp - performance.timeOrigin));
      }
      for (const [key, watch] of this.watched) {
        const [userId, streamType] = key.split('/');
        const audio = playing.get(this.trtc.getAudioTrack({ userId, streamType })?.id);
        const video = playing.get(this.trtc.getVideoTrack({ userId, streamType })?.id);
        if (audio && video) watch.clocks.push({ at: performance.now(), apart: audio - video });
        if (watch.clocks.length > 400) watch.clocks.splice(0, 200);
      }
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }

  /** What was seen and heard of somebody in the last `seconds`. */
  report(userId, seconds = 2, streamType = 'main') {
    const watch = this.watched.get(`${userId}/${streamType}`);
    if (!watch) return null;
    const since = performance.now() - seconds * 1000;
    const frames = watch.frames.filter((frame) => frame.at >= since);
    const flashes = [];
    for (let i = 1; i < frames.length; i++) {
      if (frames[i].flash && !frames[i - 1].flash) flashes.push(frames[i].at);
    }
    const beeps = (watch.ears?.beeps ?? []).filter((at) => at >= since);
    const skews = [];
    const played = [];
    for (const flash of flashes) {
      const beep = nearest(beeps, flash, (at) => at);
      const clock = nearest(watch.clocks, flash, ({ at }) => at);
      if (beep === undefined || Math.abs(beep - flash) > 500 || !clock) continue;
      played.push(Math.round(beep - flash));
      skews.push(Math.round(beep - flash + clock.apart));
    }
    return {
      frames: frames.length,
      idents: [...new Set(frames.map((frame) => frame.ident))],
      counters: frames.map((frame) => frame.counter),
      last: frames.at(-1)?.ident ?? null,
      unreadable: watch.unreadable,
      size: frames.length ? frames.at(-1).size : null,
      tone: watch.ears?.tone() ?? 0,
      beeps: beeps.length,
      /** ms from flash to beep: as sent, and as played here */
      skews,
      played,
      error: watch.error ?? null,
    };
  }

  /** [counter, unix time in ms] of the pictures made, and of those seen of somebody. */
  made() {
    return [...this.source.made];
  }

  seen(userId, streamType = 'main') {
    const frames = this.watched.get(`${userId}/${streamType}`)?.frames ?? [];
    return frames.map((frame) => [frame.counter, performance.timeOrigin + frame.at]);
  }

  clearEvents() {
    this.events.length = 0;
  }

  async stop() {
    this.stopped = true;
    this.source?.stop();
    this.watched.clear();
    await this.trtc.destroy();
  }
}

function nearest(entries, time, when) {
  let best;
  for (const entry of entries) if (best === undefined || Math.abs(when(entry) - time) < Math.abs(when(best) - time)) best = entry;
  return best;
}

const peers = {};

/** Somebody who has not entered a room yet. */
async function create(label, options = {}) {
  const { default: TRTC } = await import('/sdk/trtc.js');
  peers[label] = new Peer(TRTC.create(options), TRTC);
  return peers[label];
}

async function join(label, config, options = {}) {
  const peer = await create(label, options);
  await peer.trtc.enterRoom(config);
  return peer.trtc.getRoom();
}

/** Two connections of this page to each other, no server between: what any other way is compared with. */
async function direct(maker, seconds) {
  const source = await makeSource(maker);
  const [from, to] = [new RTCPeerConnection(), new RTCPeerConnection()];
  from.onicecandidate = ({ candidate }) => candidate && to.addIceCandidate(candidate);
  to.onicecandidate = ({ candidate }) => candidate && from.addIceCandidate(candidate);
  const video = Object.assign(document.createElement('video'), { autoplay: true, muted: true });
  video.width = 160;
  document.body.append(video);
  const sound = new Audio();
  to.ontrack = ({ track }) => {
    const element = track.kind === 'video' ? video : sound;
    element.srcObject = new MediaStream([track]);
    void element.play();
  };
  const stream = new MediaStream([source.audio, source.video]);
  from.addTrack(source.audio, stream);
  const sender = from.addTrack(source.video, stream);
  const h264 = RTCRtpSender.getCapabilities('video').codecs.filter((codec) => /H264|rtx/.test(codec.mimeType));
  from.getTransceivers().find((section) => section.sender === sender).setCodecPreferences(h264);
  await from.setLocalDescription();
  await to.setRemoteDescription(from.localDescription);
  await to.setLocalDescription();
  await from.setRemoteDescription(to.localDescription);
  const watch = { frames: [], unreadable: 0 };
  eyes(video, watch);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const result = { made: [...source.made], seen: watch.frames.map(({ counter, at }) => [counter, performance.timeOrigin + at]) };
  source.stop();
  from.close();
  to.close();
  video.remove();
  sound.srcObject = null;
  return result;
}

/** The content of `maker` as two tracks on one clock. */
async function makeSource({ ident, tone, fps, width, height }) {
  const context = new AudioContext({ sampleRate: 48000 });
  await context.resume();
  const oscillator = new OscillatorNode(context, { frequency: tone });
  const gain = new GainNode(context, { gain: 0 });
  const destination = context.createMediaStreamDestination();
  destination.channelCount = 1;
  oscillator.connect(gain).connect(destination);
  oscillator.start();
  let beeped = Math.ceil(context.currentTime);

  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const paint = canvas.getContext('2d', { willReadFrequently: true });
  const [video] = canvas.captureStream(0).getVideoTracks();
  let number = -1;
  let stopped = false;
  const made = new Map();
  const tick = () => {
    if (stopped) return;
    // The context's own time, however it runs on a busy machine: picture and sound slip together or not at all.
    const now = context.currentTime;
    while (beeped < now + 2) {
      gain.gain.setValueAtTime(0.5, beeped);
      gain.gain.setValueAtTime(0, beeped + FLASH_S);
      beeped += 1;
    }
    const due = Math.floor(now * fps);
    if (due > number) {
      number = due;
      made.set(number & 0xffff, performance.timeOrigin + performance.now());
      if (made.size > 3000) made.delete(made.keys().next().value);
      draw(paint, { ident, fps, width, height }, number);
      video.requestFrame();
    }
    setTimeout(tick, 4);
  };
  tick();
  return {
    /** counter → unix time in ms at which the picture was made */
    made,
    video,
    audio: destination.stream.getAudioTracks()[0],
    stop() {
      stopped = true;
      video.stop();
      void context.close();
    },
  };
}

function draw(paint, { ident, fps, width, height }, number) {
  const eighth = height >> 3;
  const block = width / BITS;
  const code = ident | ((~ident & 0xff) << 8);
  paint.fillStyle = number % fps < fps * FLASH_S ? 'white' : 'rgb(30,30,30)';
  paint.fillRect(0, 0, width, height);
  for (let bit = 0; bit < BITS; bit++) {
    paint.fillStyle = (number >> bit) & 1 ? 'white' : 'black';
    paint.fillRect(bit * block, 0, block, eighth);
    paint.fillStyle = (code >> bit) & 1 ? 'white' : 'black';
    paint.fillRect(bit * block, eighth, block, eighth);
  }
  for (let x = 0; x < width; x += 16) {
    const grey = 60 + ((x + 5 * number) % 64);
    paint.fillStyle = `rgb(${grey},${grey},${grey})`;
    paint.fillRect(x, 2 * eighth, 16, 2 * eighth);
  }
}

/** Reads every presented picture of a video element. */
function eyes(video, watch) {
  const canvas = new OffscreenCanvas(160, 64);
  const paint = canvas.getContext('2d', { willReadFrequently: true });
  const look = (now, metadata) => {
    paint.drawImage(video, 0, 0, 160, 64);
    const pixels = paint.getImageData(0, 0, 160, 64).data;
    const at = (x, y) => pixels[(y * 160 + x) * 4 + 1] > 128;
    let counter = 0;
    let code = 0;
    for (let bit = 0; bit < BITS; bit++) {
      const x = bit * 10 + 5;
      if (at(x, 4)) counter |= 1 << bit;
      if (at(x, 12)) code |= 1 << bit;
    }
    const ident = code & 0xff;
    if (ident && code >> 8 === (~ident & 0xff)) {
      watch.frames.push({
        counter,
        ident,
        flash: at(80, 48),
        at: metadata.expectedDisplayTime ?? now,
        size: [metadata.width, metadata.height],
      });
      if (watch.frames.length > 2000) watch.frames.splice(0, 1000);
    } else {
      watch.unreadable += 1;
    }
    if (video.isConnected) video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}

let hearing = null;

/** Listens to a track: when beeps begin (page time, ms) and which tone they have. */
function ears(track) {
  const context = (hearing ??= new AudioContext({ sampleRate: 48000, latencyHint: 'interactive' }));
  void context.resume();
  const source = context.createMediaStreamSource(new MediaStream([track]));
  const size = 256;
  const tap = context.createScriptProcessor(size, 1, 1);
  const ring = new Float32Array(48000);
  const delays = new Float64Array(300);
  let calls = 0;
  let written = 0;
  let quiet = 1e9;
  let loudest = 0.02;
  const beeps = [];
  tap.onaudioprocess = (event) => {
    const samples = event.inputBuffer.getChannelData(0);
    // The least delayed of the last callbacks tells how the context's time stands to the page's.
    delays[calls++ % delays.length] = performance.now() - event.playbackTime * 1000;
    const offset = Math.min(...delays.subarray(0, calls));
    const begin = event.playbackTime * 1000 + offset - (size / 48000) * 1000;
    for (let i = 0; i < samples.length; i++) {
      const level = Math.abs(samples[i]);
      ring[written++ % ring.length] = samples[i];
      loudest = Math.max(loudest * 0.999995, level);
      if (level > 0.3 * loudest) {
        if (quiet > 14400) beeps.push(begin + i / 48);
        quiet = 0;
      } else {
        quiet += 1;
      }
    }
    if (beeps.length > 200) beeps.splice(0, 100);
  };
  const silent = new GainNode(context, { gain: 0 });
  source.connect(tap).connect(silent).connect(context.destination);
  return {
    beeps,
    /** Hz of the loudest part of the last second, by zero crossings of the loud samples. */
    tone() {
      const last = new Float32Array(ring.length);
      for (let i = 0; i < ring.length; i++) last[i] = ring[(written + i) % ring.length];
      const step = 480;
      let best = 0;
      let found = 0;
      for (let start = 0; start + 4 * step <= last.length; start += step) {
        const part = last.subarray(start, start + 4 * step);
        const energy = part.reduce((sum, sample) => sum + sample * sample, 0);
        if (energy > best) {
          best = energy;
          found = start;
        }
      }
      if (best < 0.2) return 0;
      return pitch(last.subarray(found, found + 4 * step));
    },
    stop() {
      source.disconnect();
      tap.disconnect();
    },
  };
}

/** Hz, from the first and the last rising zero crossing. */
function pitch(samples) {
  let first = -1;
  let last = -1;
  let count = -1;
  for (let i = 1; i < samples.length; i++) {
    if (samples[i - 1] >= 0 || samples[i] < 0) continue;
    const at = i - samples[i] / (samples[i] - samples[i - 1]);
    if (first < 0) first = at;
    last = at;
    count += 1;
  }
  return count > 0 ? Math.round((count * 48000) / (last - first)) : 0;
}

function plain(detail) {
  if (detail instanceof Error) return { code: detail.code, reason: detail.reason, message: detail.message };
  try {
    return JSON.parse(JSON.stringify(detail ?? null, (key, value) => (value instanceof MediaStreamTrack ? undefined : value)));
  } catch {
    return null;
  }
}

window.probe = { peers, create, join, direct };
