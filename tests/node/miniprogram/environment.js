/** A page for the simulated component, with Node's own WebSocket: jsdom's is another one. */
const JsdomEnvironment = require('jest-environment-jsdom').default;

module.exports = class extends JsdomEnvironment {
  async setup() {
    await super.setup();
    this.global.NodeWebSocket = globalThis.WebSocket;
  }
};
