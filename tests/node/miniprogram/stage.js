/** The component on a page, with stub tags, its events written down. */
const path = require('path');
const simulate = require('miniprogram-simulate');
const tags = require('./tags.js');

const ROOT = path.resolve(__dirname, '../../../static/miniprogram');
const COMPONENT = path.join(ROOT, 'components/webrtc-room/webrtc-room');

class Phone {
  constructor(id, properties) {
    this.events = [];
    this.rendered = simulate.render(id, properties);
    this.rendered.addEventListener('RoomEvent', (event) => this.events.push(['RoomEvent', event.detail]));
    this.rendered.addEventListener('IMEvent', (event) => this.events.push(['IMEvent', event.detail]));
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

  /** Codes of RoomEvents so far. */
  errors() {
    return this.events.filter(([name]) => name === 'RoomEvent').map(([, { code }]) => code);
  }

  /** [code, detail] of IMEvents of one tag. */
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

/** Load the component with these tags; returns a function that puts one on a page. */
function stage(made) {
  const usingComponents = tags.load(made);
  const id = simulate.load(COMPONENT, 'webrtc-room', { rootPath: ROOT, usingComponents });
  return (properties) => new Phone(id, properties);
}

/** What pages of the sample ask of the phone besides. */
function desk() {
  const stored = {};
  const desk = { went: [], titles: [], backs: 0 };
  Object.assign(wx, {
    getStorageSync: (name) => stored[name] || '',
    setStorageSync: (name, value) => (stored[name] = value),
    getSystemInfoSync: () => ({ language: 'en' }),
    navigateTo: ({ url }) => desk.went.push(url),
    navigateBack: () => (desk.backs += 1),
    setNavigationBarTitle: ({ title }) => desk.titles.push(title),
    setKeepScreenOn() {},
    stopPullDownRefresh() {},
  });
  return desk;
}

/** Load a page of the sample; returns a function that opens it with a query. Pages are drawn as components here. */
function pages(made) {
  const usingComponents = tags.load(made);
  return (name) => {
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

module.exports = { ROOT, desk, given, pages, stage, until };
