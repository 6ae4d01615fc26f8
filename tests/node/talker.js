/**
 * A mini-program member that only talks: the `/im` client of static/miniprogram under Node, over a real WebSocket.
 *
 *     node talker.js '{"server": …, "login": {…}, "count": 1000, "perSecond": 19}'
 *
 * Prints `["in"]` when it has entered. At the first line of its input it says `count` texts `<userID> <number>`, not
 * faster than told; `["sent"]` when the server has taken them all. What it is shown is printed as `[seq, from, text]`,
 * in the order shown. Ends with its input.
 */

const { Im } = require('../../static/miniprogram/utils/im.js');

globalThis.wx = {
  connectSocket({ url }) {
    const socket = new WebSocket(url);
    return {
      onOpen: (done) => socket.addEventListener('open', () => done({})),
      onMessage: (done) => socket.addEventListener('message', ({ data }) => done({ data })),
      onError: (done) => socket.addEventListener('error', () => done({})),
      onClose: (done) => socket.addEventListener('close', () => done({})),
      send: ({ data, fail }) => (socket.readyState === WebSocket.OPEN ? socket.send(data) : fail && fail({})),
      close: () => socket.close(),
    };
  },
};

const { server, login, count, perSecond } = JSON.parse(process.argv[2]);
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const textOf = (entry) => entry.MsgBody.map((element) => element.MsgContent.Text).join('');
let taken = 0;

const im = new Im(server, () => login, {
  login: (again) => again || print(['in']),
  messages: (entries) => entries.forEach((entry) => print([entry.MsgSeq, entry.From_Account, textOf(entry)])),
  refused: (refusal) => fail(refusal),
  kicked: (reason) => fail(reason),
});
im.start();
process.stdin.once('data', () => talk(0));
process.stdin.on('end', () => process.exit(0));

function talk(number) {
  if (number === count) return;
  say(number);
  setTimeout(() => talk(number + 1), 1000 / perSecond);
}

function say(number) {
  const body = [{ MsgType: 'TIMTextElem', MsgContent: { Text: `${login.userID} ${number}` } }];
  im.send(body, '', (error) => {
    if (error) fail(error);
    else if (++taken === count) print(['sent']);
  });
}

function fail(reason) {
  process.stderr.write(`${login.userID}: ${JSON.stringify(reason)}\n`);
  process.exit(1);
}
