/**
 * `node story.js NAME`: one story of scenarios.js with the clients of this folder, against the server that the
 * environment variable STOCK tells of. What the story has to say to the test stands in lines of JSON on standard output;
 * the exit code is 0 if it went well.
 */
const scenarios = require('./scenarios.js');
const { LivePhone, RtcPhone, WebrtcPhone } = require('./phones.js');
const { LiveRoom } = require('./liveroom.js');
const { RtcRoom } = require('./rtcroom.js');
const { WebrtcRoom } = require('./webrtcroom.js');

const given = JSON.parse(process.env.STOCK);
const made = [];
const add = (phone) => {
  made.push(phone);
  return phone;
};
const phones = {
  rtc: (user, kind) => add(new RtcPhone(given, user, kind, (wx, im) => new RtcRoom(wx, im))),
  live: (user) => add(new LivePhone(given, user, 'live_room', (wx, im) => new LiveRoom(wx, im))),
  webrtc: (user) => add(new WebrtcPhone(given, user, 'webrtc_room', (wx, im) => new WebrtcRoom(wx, im))),
};
const tell = (news) => process.stdout.write(`${JSON.stringify(news)}\n`);

async function main(name) {
  let status = 0;
  try {
    await scenarios[name](phones, tell);
  } catch (error) {
    status = 1;
    tell({ failed: error.stack });
    made.forEach((phone) => tell({ state: phone.state(), deaths: phone.room.im && phone.room.im.deaths }));
  }
  made.forEach((phone) => phone.close());
  process.exit(status);
}

main(process.argv[2]);
