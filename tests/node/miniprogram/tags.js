/**
 * live-pusher and live-player, which exist on phones only: stub components with the same attributes, whose contexts
 * either note what they are told (`noted`), or run ffmpeg processes that push and play over real RTMP (`ffmpeg`) and
 * report what the phones' tags report.
 */
const path = require('path');
const simulate = require('miniprogram-simulate');
const { player, pusher } = require('../live_tags.js');

const PUSHER = {
  url: String, mode: String, aspect: String, minBitrate: Number, maxBitrate: Number, audioQuality: String,
  beauty: Number, whiteness: Number, muted: Boolean, enableCamera: Boolean, waitingImage: String,
  backgroundMute: Boolean, debug: Boolean, autopush: Boolean,
};
const PLAYER = {
  src: String, mode: String, autoplay: Boolean, muted: Boolean, minCache: Number, maxCache: Number, objectFit: String,
  backgroundMute: Boolean, debug: Boolean,
};

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
 * Contexts that run ffmpeg. A pusher sends the file that `files` has for its user (the component's `userID`, or `user_`
 * that a test has set) over and over; a player writes what
 * comes to `folder`, a file for each attempt: USER-player-OTHER-N.flv. `retryMs` is the pause before a new attempt
 * (3 s on a phone).
 */
function ffmpeg({ files, folder, retryMs = 500 }) {
  const running = new Set();
  const user = (tag) => tag.selectOwnerComponent().user_ || tag.selectOwnerComponent().data.userID;
  let attempts = 0;
  const common = (tag) => ({ running, retryMs, say: (code) => tag.triggerEvent('statechange', { code, message: '' }) });
  const push = (tag) => pusher({ ...common(tag), url: () => tag.data.url, file: () => files[user(tag)] });
  const play = (tag) =>
    player({
      ...common(tag),
      url: () => tag.data.src,
      mode: () => tag.data.mode,
      path: () => path.join(folder, `${user(tag)}-${tag.id}-${attempts++}.flv`),
    });
  return { push, play, running };
}

/** What `make` makes of a tag of the component, null if it is not drawn. */
function found(component, id, make) {
  try {
    return make(component.selectComponent(`#${id}`));
  } catch (error) {
    return null; // the simulator throws where there is none
  }
}

/** Register the two tags; `made` gives a context for each. Returns what goes into `usingComponents`. */
function load(made) {
  const contextOf = (tag, kind) => (tag.context_ = tag.context_ || made[kind](tag));
  const tag = (properties, kind) =>
    simulate.load({
      template: '<view><slot></slot></view>',
      properties,
      attached() {
        if (this.data.autoplay && this.data.src) contextOf(this, kind).play();
      },
      detached() {
        if (this.context_ && this.context_.gone) this.context_.gone();
      },
    });
  const usingComponents = { 'live-pusher': tag(PUSHER, 'push'), 'live-player': tag(PLAYER, 'play') };
  Object.assign(wx, {
    createLivePusherContext: (id, component) => found(component, id, (tag) => contextOf(tag, 'push')),
    createLivePlayerContext: (id, component) => found(component, id, (tag) => contextOf(tag, 'play')),
  });
  return usingComponents;
}

module.exports = { ffmpeg, load, noted };
