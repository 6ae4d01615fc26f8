/** Components and pages of the mini program, drawn with stub tags, their events written down. */
const path = require('path');
const simulate = require('miniprogram-simulate');
const tags = require('./tags.js');

const ROOT = path.resolve(__dirname, '../../../static/miniprogram');

/** A component on a page. */
class Phone {
  constructor(id, properties, drawn = true) {
    this.events = [];
    this.rendered = simulate.render(id, properties);
    for (const name of ['RoomEvent', 'onRoomEvent', 'IMEvent']) {
      this.rendered.addEventListener(name, (event) => this.events.push([name, event.detail]));
    }
    if (drawn) this.draw();
  }

  /** The page is ready. */
  draw() {
    this.rendered.attach(document.body);
  }

  /** The component as a page gets it from selectComponent. */
  get room() {
    return this.rendered.instance;
  }

  get members() {
    return this.rendered.data.members;
  }

  get(selector) {
    return this.rendered.querySelector(selector);
  }

  count(selector) {
    return this.rendered.querySelectorAll(selector).length;
  }

  pusherSays(code, message = '') {
    this.get('#rtcpusher').instance.triggerEvent('statechange', { code, message });
  }

  playerSays(user, code) {
    this.get(`#player-${user}`).instance.triggerEvent('statechange', { code, message: '' });
  }

  /** Details of RoomEvents so far, of one tag if it is named. */
  told(tag) {
    const details = this.events.filter(([name]) => name === 'RoomEvent').map(([, detail]) => detail);
    return tag ? details.filter((detail) => detail.tag === tag) : details;
  }

  /** Codes of errors so far. */
  errors() {
    return this.told('error').map(({ code }) => code);
  }

  /** IMEvents of one tag. */
  im(tag) {
    return this.events.filter(([name, event]) => name === 'IMEvent' && event.tag === tag).map(([, event]) => event);
  }

  /** Texts of group messages in the order in which a page shows them. */
  texts() {
    const shown = this.im('big_group_msg_notify').flatMap(({ detail }) => [...detail].reverse());
    return shown.map((message) =>
      message.getElems().map((element) => {
        const content = element.getContent();
        return content.getText ? content.getText() : content.getData();
      }).join(''),
    ); // prettier-ignore
  }

  remove() {
    this.rendered.detach();
  }
}

/** Load a component with these tags; returns a function that puts one on a page. */
function stage(made, name = 'webrtc-room') {
  const usingComponents = tags.load(made);
  const file = path.join(ROOT, `components/${name}/${name}`);
  const id = simulate.load(file, name, { rootPath: ROOT, usingComponents });
  return (properties, drawn) => new Phone(id, properties, drawn);
}

/**
 * A phone of its own: the libraries that know one login are nobody else's. `put(properties)` puts the component on its
 * page; `rtcroom`, `liveroom`, `session` are those that this component has.
 */
function handset(made, name) {
  const phone = {};
  jest.isolateModules(() => {
    for (const library of ['rtcroom', 'liveroom']) phone[library] = require(path.join(ROOT, `utils/${library}.js`));
    phone.session = require(path.join(ROOT, 'utils/session.js')).session;
    if (name) phone.put = stage(made, name);
  });
  return phone;
}

/** What pages of the sample ask of the phone besides. */
function desk() {
  const stored = {};
  const desk = { went: [], titles: [], backs: 0, asked: [], answers: true };
  Object.assign(wx, {
    getStorageSync: (name) => stored[name] || '',
    setStorageSync: (name, value) => (stored[name] = value),
    getSystemInfoSync: () => ({ language: 'en' }),
    navigateTo: ({ url }) => desk.went.push(url),
    navigateBack: () => (desk.backs += 1),
    setNavigationBarTitle: ({ title }) => desk.titles.push(title),
    setKeepScreenOn() {},
    stopPullDownRefresh() {},
    showModal(options) {
      desk.asked.push(options.content);
      if (options.success) options.success({ confirm: desk.answers, cancel: !desk.answers });
    },
  });
  return desk;
}

/** Load pages of the sample into one phone; returns, for each, a function that opens it with a query. */
function pages(made, ...names) {
  const usingComponents = tags.load(made);
  const opened = {};
  jest.isolateModules(() => {
    opened.config = require(path.join(ROOT, 'config.js'));
    opened.webrtcroom = require(path.join(ROOT, 'utils/webrtcroom.js'));
    opened.session = require(path.join(ROOT, 'utils/session.js')).session;
    // Those that several pages use are loaded once: a module that was loaded says nothing a second time.
    for (const name of ['chat-box', 'tool-bar']) {
      usingComponents[name] = simulate.load(path.join(ROOT, `components/${name}/${name}`), name, { rootPath: ROOT });
    }
    for (const name of names) opened[name] = page(name, usingComponents);
  });
  return opened;
}

/** Pages are drawn as components here. */
function page(name, usingComponents) {
  global.Page = ({ data, ...methods }) => Component({ data, methods });
  const id = simulate.load(path.join(ROOT, `pages/${name}/${name}`), name, { rootPath: ROOT, usingComponents });
  return (query = {}) => {
    const page = simulate.render(id);
    page.attach(document.body);
    const encoded = Object.entries(query).map(([key, value]) => [key, encodeURIComponent(value)]);
    for (const event of ['onLoad', 'onShow', 'onReady']) {
      if (page.instance[event]) page.instance[event](Object.fromEntries(encoded));
    }
    return page;
  };
}

/** What a test with a running gateway is told: its address, tickets, what cameras show, where to record. */
function given() {
  if (!process.env.PHONES) throw new Error('this test needs a gateway: pytest tests/e2e/test_miniprogram.py starts it');
  return JSON.parse(process.env.PHONES);
}

/** Wait until `check()` is true. */
async function until(check, timeout, what) {
  const end = Date.now() + timeout;
  while (!check()) {
    if (Date.now() > end) throw new Error(`not within ${timeout} ms: ${typeof what === 'function' ? what() : what}`);
    await simulate.sleep(20);
  }
}

module.exports = { ROOT, desk, given, handset, pages, stage, until };
