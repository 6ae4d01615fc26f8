/**
 * What WeChat gives a mini program, as far as ours asks for it: requests and sockets, real ones (Node's) or made up by
 * a test. `miniprogram-simulate` has put a `wx` of its own there; these are laid over it.
 */
const http = require('http');

/** Requests and sockets of this test that have not ended. */
const open = { requests: new Set(), sockets: new Set() };

/** wx.request over node:http. Answers are parsed, as `dataType: json` does. */
function request(options) {
  const { url, method = 'GET', data, header = {}, timeout = 60000 } = options;
  // The data of a GET stands in its query, as WeChat puts it there.
  const query = method === 'GET' && data ? `?${new URLSearchParams(data)}` : '';
  const body = data === undefined || method === 'GET' ? '' : JSON.stringify(data);
  let ended = false;
  const end = (name, result) => {
    if (ended) return;
    ended = true;
    open.requests.delete(task);
    if (options[name]) options[name](result);
    if (options.complete) options.complete(result);
  };
  const sent = http.request(url + query, { method, headers: header, timeout }, (answer) => {
    let text = '';
    answer.setEncoding('utf8');
    answer.on('data', (piece) => (text += piece));
    answer.on('end', () => {
      let parsed = text;
      try {
        parsed = JSON.parse(text);
      } catch (error) {
        // As it came.
      }
      end('success', { statusCode: answer.statusCode, header: answer.headers, data: parsed, errMsg: 'request:ok' });
    });
  });
  sent.on('timeout', () => sent.destroy(new Error('timeout')));
  sent.on('error', (error) => end('fail', { errMsg: `request:fail ${error.message}`, errno: 600001 }));
  sent.end(body);
  const task = {
    abort() {
      end('fail', { errMsg: 'request:fail abort', errno: 0 });
      sent.destroy();
    },
  };
  open.requests.add(task);
  return task;
}

/** wx.connectSocket over Node's WebSocket. */
function connectSocket({ url }) {
  const socket = new NodeWebSocket(url);
  const on = (name, make) => (callback) => socket.addEventListener(name, (event) => callback(make(event)));
  const task = {
    onOpen: on('open', () => ({ header: {} })),
    onMessage: on('message', (event) => ({ data: event.data })),
    onError: on('error', (event) => ({ errMsg: String(event.message) })),
    onClose: on('close', (event) => ({ code: event.code, reason: event.reason })),
    send({ data, success, fail }) {
      if (socket.readyState !== 1) {
        if (fail) fail({ errMsg: 'sendSocketMessage:fail' });
        return;
      }
      socket.send(data);
      if (success) success({ errMsg: 'sendSocketMessage:ok' });
    },
    close({ code = 1000, reason = '' } = {}) {
      socket.close(code, reason);
    },
  };
  open.sockets.add(socket);
  socket.addEventListener('close', () => open.sockets.delete(socket));
  socket.addEventListener('error', () => open.sockets.delete(socket));
  return task;
}

/** A socket that a test plays the server of. */
class FakeSocket {
  constructor(url) {
    Object.assign(this, { url, sent: [], closed: false, refuses: false, on: {} });
    this.task = {
      onOpen: (callback) => (this.on.open = callback),
      onMessage: (callback) => (this.on.message = callback),
      onError: (callback) => (this.on.error = callback),
      onClose: (callback) => (this.on.close = callback),
      send: ({ data, fail }) => (this.refuses ? fail({ errMsg: 'fail' }) : this.sent.push(JSON.parse(data))),
      close: () => (this.closed = true),
    };
  }

  open() {
    this.on.open({ header: {} });
  }

  receive(frame) {
    this.on.message({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) });
  }

  drop(code = 1006) {
    this.on.close({ code, reason: '' });
  }

  /** Frames of one command so far. */
  frames(cmd) {
    return this.sent.filter((frame) => frame.cmd === cmd);
  }

  last(cmd) {
    return this.frames(cmd).slice(-1)[0];
  }

  answer(cmd, fields) {
    this.receive({ re: this.last(cmd).id, code: 0, ...fields });
  }
}

/**
 * Lay a network over `wx` that exists in the test only.
 * `answer(call, data)` gives the JSON of a POST, or an Error for one that fails.
 */
function fake(answer) {
  const world = { posts: [], sockets: [], network: null, answer };
  Object.assign(wx, {
    request(options) {
      let aborted = false;
      const name = options.url.split('?')[0].split('/').pop();
      world.posts.push({ name, url: options.url, data: options.data });
      Promise.resolve().then(() => {
        if (aborted) return;
        const result = world.answer(name, options.data);
        if (result instanceof Error) options.fail && options.fail({ errMsg: result.message });
        else if (result !== undefined && options.success) options.success({ statusCode: 200, data: result });
        if (result !== undefined && options.complete) options.complete({});
      });
      return {
        abort() {
          aborted = true;
          if (options.fail) options.fail({ errMsg: 'request:fail abort' });
          if (options.complete) options.complete({});
        },
      };
    },
    connectSocket({ url }) {
      const socket = new FakeSocket(url);
      world.sockets.push(socket);
      return socket.task;
    },
    onNetworkStatusChange: (callback) => (world.network = callback),
    offNetworkStatusChange: (callback) => {
      if (callback === world.network) world.network = null;
    },
  });
  Object.defineProperty(world, 'socket', { get: () => world.sockets[world.sockets.length - 1] });
  return world;
}

/** Lay the real network over `wx`. */
function real() {
  Object.assign(wx, { request, connectSocket, onNetworkStatusChange() {}, offNetworkStatusChange() {} });
  return open;
}

/** Let promises and microtasks run. */
async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

module.exports = { fake, real, settle };
