/**
 * What WeChat gives one phone, as far as the room clients of 2018 use it: requests, with WeChat's limits, and the two
 * live tags, which are ffmpeg processes here.
 */
const http = require('http');
const path = require('path');
const live = require('../live_tags.js');

const MAX_AT_ONCE = 10;
const LIMIT_MS = 60000;

class Wx {
  /** `file` is what the camera sees, recordings of players go to `folder`. `retryMs`: 3 s on a phone. */
  constructor({ user, file, folder, retryMs = 500 }) {
    Object.assign(this, { user, file, folder, retryMs });
    /** Requests that are under way, at most ten, and those that wait for one of them to end. */
    this.active = new Set();
    this.waiting = [];
    /** Paths of all requests so far. */
    this.sent = [];
    /** Every answer that had no status of 200, and every request that failed. */
    this.troubles = [];
    this.processes = new Set();
    this.sockets = new Set();
    this.recordings = 0;
  }

  /** wx.request. Objects are sent as JSON, texts as they are. Answers are parsed if they can be. */
  request(options) {
    const task = { options, ended: false, abort: () => this.end(task, 'fail', { errMsg: 'request:fail abort' }) };
    this.waiting.push(task);
    this.next();
    return task;
  }

  next() {
    while (this.waiting.length && this.active.size < MAX_AT_ONCE) this.send(this.waiting.shift());
  }

  send(task) {
    const { url, method = 'GET', data = {}, header = {} } = task.options;
    const target = new URL(url);
    let body = typeof data === 'string' ? data : JSON.stringify(data);
    if (method === 'GET') {
      Object.entries(data).forEach(([name, value]) => target.searchParams.append(name, value));
      body = '';
    }
    this.active.add(task);
    this.sent.push(target.pathname);
    task.sent = http.request(target, { method, headers: { 'content-type': 'application/json', ...header } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece) => (text += piece));
      answer.on('end', () => {
        if (answer.statusCode !== 200) this.troubles.push(`${answer.statusCode} ${target.pathname}`);
        this.end(task, 'success', { statusCode: answer.statusCode, header: answer.headers, data: parsed(text) });
      });
    }); // prettier-ignore
    task.sent.on('error', (error) => this.end(task, 'fail', { errMsg: `request:fail ${error.message}` }));
    task.timer = setTimeout(() => this.end(task, 'fail', { errMsg: 'request:fail timeout' }), LIMIT_MS);
    task.sent.end(body);
  }

  end(task, name, result) {
    if (task.ended) return;
    task.ended = true;
    clearTimeout(task.timer);
    this.active.delete(task);
    if (task.sent) task.sent.destroy();
    if (name === 'fail' && !result.errMsg.endsWith('abort')) this.troubles.push(`${result.errMsg} ${task.options.url}`);
    this.next();
    const { options } = task;
    // As in WeChat an exception of a callback ends up in the console and stops nothing but its caller.
    for (const [callback, value] of [[options[name], result], [options.complete, result]]) {
      try {
        if (callback) callback({ errMsg: 'request:ok', ...value });
      } catch (error) {
        this.troubles.push(`exception: ${error.message}`);
      }
    } // prettier-ignore
  }

  /** wx.connectSocket. */
  connectSocket({ url }) {
    const socket = new WebSocket(url);
    this.sockets.add(socket);
    const on = (name, of) => (callback) => socket.addEventListener(name, (event) => callback(of(event)));
    return {
      onOpen: on('open', () => ({})),
      onMessage: on('message', ({ data }) => ({ data })),
      onClose: on('close', ({ code, reason }) => ({ code, reason })),
      send: ({ data }) => socket.send(data),
      close: ({ code = 1000 } = {}) => socket.close(code),
    };
  }

  /** Requests under way whose path ends so. */
  pending(name) {
    return [...this.active].filter(({ options }) => options.url.split('?')[0].endsWith(name)).length;
  }

  /** A live-pusher that pushes the camera to `url`; `say(code)` is its statechange. */
  createLivePusherContext({ url, say }) {
    return live.pusher({ ...this.common(say), url: () => url, file: () => this.file });
  }

  /** A live-player; what it plays is recorded to USER-plays-NAME-N.flv, a file for each attempt. */
  createLivePlayerContext(name, { src, mode, say }) {
    const file = () => path.join(this.folder, `${this.user}-plays-${name}-${this.recordings++}.flv`);
    return live.player({ ...this.common(say), url: () => src, mode: () => mode, path: file });
  }

  common(say = () => {}) {
    return { running: this.processes, retryMs: this.retryMs, say };
  }

  /** The mini program is closed: nothing of it goes on. */
  close() {
    this.waiting = [];
    for (const task of [...this.active]) {
      task.options = { url: task.options.url };
      task.abort();
    }
    for (const socket of this.sockets) socket.close();
    for (const child of this.processes) child.kill('SIGKILL');
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    return text;
  }
}

module.exports = { Wx };
