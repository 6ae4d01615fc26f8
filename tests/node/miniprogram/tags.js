/**
 * live-pusher and live-player, which exist on phones only: stub components with the same attributes, whose contexts
 * either note what they are told (`noted`), or run ffmpeg processes that push and play over real RTMP (`ffmpeg`) and
 * report what the phones' tags report.
 */
const { spawn } = require('child_process');
const path = require('path');
const simulate = require('miniprogram-simulate');

const PUSHER = {
  url: String, mode: String, aspect: String, minBitrate: Number, maxBitrate: Number, audioQuality: String,
  beauty: Number, whiteness: Number, muted: Boolean, enableCamera: Boolean, waitingImage: String,
  backgroundMute: Boolean, debug: Boolean, autopush: Boolean,
};
const PLAYER = {
  src: String, mode: String, autoplay: Boolean, muted: Boolean, minCache: Number, maxCache: Number, objectFit: String,
  backgroundMute: Boolean, debug: Boolean,
};
const RETRIES = 3;

/** Contexts that write down their calls: [name, url] in `calls`. */
const noted = (calls) => ({
  push: (tag) => notes('pusher', calls, () => tag.data.url),
  play: (tag) => notes(tag.id, calls, () => tag.data.src),
});

function notes(who, calls, url) {
  const note = (name) => () => calls.push([who, name, url()]);
  const names = ['start', 'stop', 'play', 'pause', 'resume', 'switchCamera'];
  return Object.fromEntries(names.map((name) => [name, note(name)]));
}

/**
 * Contexts that run ffmpeg. A pusher sends the file that `files` has for its user over and over; a player writes what
 * comes to `folder`, a file for each attempt: USER-player-OTHER-N.flv. `retryMs` is the pause before a new attempt
 * (3 s on a phone).
 */
function ffmpeg({ files, folder, retryMs = 500 }) {
  const running = new Set();
  const user = (tag) => tag.selectOwnerComponent().data.userID;
  let attempts = 0;
  const push = (tag) =>
    new Process(running, retryMs, {
      argv: () => ['-re', '-stream_loop', '-1', '-i', files[user(tag)], '-c', 'copy', '-f', 'flv',
        '-flvflags', 'no_duration_filesize', tag.data.url],
      say: (code) => tag.triggerEvent('statechange', { code, message: '' }),
      began: [1005, 1003, 1007, 1008, 1001, 1002], flows: [], again: 1102, gaveUp: -1307, before: () => [],
      sign: 'Output #0',
    }); // prettier-ignore
  const play = (tag) =>
    new Process(running, retryMs, {
      argv: () => [...(tag.data.src.startsWith('rtmp') ? ['-rtmp_live', 'live'] : []), '-probesize', '200k',
        '-analyzeduration', '1500000', '-i', tag.data.src, '-c', 'copy', '-f', 'flv',
        '-flvflags', 'no_duration_filesize', '-y', path.join(folder, `${user(tag)}-${tag.id}-${attempts++}.flv`)],
      say: (code) => tag.triggerEvent('statechange', { code, message: '' }),
      // As on phones: an address without the vendor's three parameters has no accelerated one.
      before: () => (tag.data.mode === 'RTC' ? [-2302] : []),
      began: [2001, 2002], flows: [2003, 2004], again: 2103, gaveUp: -2301,
      sign: 'Input #0',
    }); // prettier-ignore
  return { push, play, running };
}

class Process {
  constructor(running, retryMs, options) {
    Object.assign(this, { running, retryMs, options, process: null, wanted: false, failures: 0 });
  }

  start() {
    if (this.wanted) return;
    this.wanted = true;
    this.failures = 0;
    this.options.before().forEach(this.options.say);
    this.attempt();
  }

  play() {
    this.start();
  }

  attempt() {
    const argv = ['-hide_banner', '-nostdin', '-loglevel', 'info', '-stats_period', '0.1', '-progress', 'pipe:1'];
    const child = spawn('ffmpeg', [...argv, ...this.options.argv()], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    this.running.add(child);
    let words = '';
    let began = false;
    let flows = false;
    child.stderr.on('data', (piece) => {
      words = (words + piece).slice(-4000);
      if (!began && words.includes(this.options.sign)) {
        began = true;
        this.tell(child, this.options.began);
      }
    });
    child.stdout.on('data', (piece) => {
      if (flows || !/total_size=[1-9]/.test(String(piece))) return;
      flows = true;
      this.failures = 0;
      this.tell(child, this.options.flows);
    });
    child.on('exit', () => {
      this.running.delete(child);
      if (child !== this.process || !this.wanted) return;
      this.failures += 1;
      if (this.failures > RETRIES) {
        this.wanted = false;
        this.options.say(this.options.gaveUp);
      } else {
        this.options.say(this.options.again);
        this.timer = setTimeout(() => this.attempt(), this.retryMs);
      }
    });
  }

  tell(child, codes) {
    if (child === this.process && this.wanted) codes.forEach(this.options.say);
  }

  stop() {
    this.wanted = false;
    clearTimeout(this.timer);
    const child = this.process;
    this.process = null;
    if (!child || child.exitCode !== null) return;
    child.kill('SIGINT');
    const hard = setTimeout(() => child.kill('SIGKILL'), 2000);
    child.on('exit', () => clearTimeout(hard));
  }

  /** The tag has left the page. */
  gone() {
    this.stop();
  }

  pause() {}

  resume() {}

  switchCamera() {}
}

/** Register the two tags; `made` gives a context for each. Returns what goes into `usingComponents`. */
function load(made) {
  /** The pushers on the page. A phone has one; here each phone makes its own context when it is drawn. */
  const pushers = [];
  const contextOf = (tag, kind) => (tag.context_ = tag.context_ || made[kind](tag));
  const tag = (properties, kind) =>
    simulate.load({
      template: '<view><slot></slot></view>',
      properties,
      attached() {
        if (kind === 'push') pushers.push(this);
        if (this.data.autoplay && this.data.src) contextOf(this, kind).play();
      },
      detached() {
        if (this.context_ && this.context_.gone) this.context_.gone();
      },
    });
  const usingComponents = { 'live-pusher': tag(PUSHER, 'push'), 'live-player': tag(PLAYER, 'play') };
  Object.assign(wx, {
    createLivePusherContext: () => contextOf(pushers[pushers.length - 1], 'push'),
    createLivePlayerContext(id, component) {
      const player = component.selectComponent(`#${id}`);
      return player ? contextOf(player, 'play') : null;
    },
  });
  return usingComponents;
}

module.exports = { ffmpeg, load, noted };
