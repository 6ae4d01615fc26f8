/**
 * What a room shows and hears: our own picture, which is published, and those of the others, which are played. It knows
 * the tags and their places, and nothing of rooms: whoever uses it gives it an address and lists.
 */

const { arrange, largeOf, maxMembers, seat } = require('./layout.js');
const { Player } = require('./player.js');
const { Pusher } = require('./pusher.js');

/**
 * @typedef {import('./layout.js').RoomMember} RoomMember
 * @typedef {import('./layout.js').Listed} Listed
 * @typedef {{ pushURL: string, members: RoomMember[], place: number }} Scene what the template draws
 * @typedef {{
 *   show: (scene: Partial<Scene>, done?: () => void) => void,
 *   pusher: () => WechatMiniprogram.LivePusherContext,
 *   player: (id: string) => WechatMiniprogram.LivePlayerContext,
 * }} Screen
 * @typedef {{
 *   template: string, userID: string, presenter: string, autoplay: boolean, large?: string, absent?: boolean,
 * }} Casting `large`: who has place 0 whatever the template says; `absent`: our own picture takes no place
 * @typedef {{
 *   casting: () => Casting,
 *   full: (limit: number) => void,
 *   hopeless: (member: RoomMember) => void,
 * }} Director `full`: more are listed than the template shows, told once; `hopeless`: a member cannot be played
 */

class Stage {
  /** @param {Screen} screen @param {Director} director */
  constructor(screen, director) {
    this._screen = screen;
    this._director = director;
    this.pusher = new Pusher(screen.pusher);
    /** @type {RoomMember[]} */
    this.members = [];
    /** @type {Map<string, Player>} */
    this._players = new Map();
    this._url = '';
    this._full = false;
  }

  /**
   * Publish.
   * @param {string} url '' publishes nothing
   * @param {() => void} [begun] called once, when what is sent arrives
   */
  push(url, begun = () => {}) {
    this._url = url;
    this._screen.show({ pushURL: url, place: this._seat() }, () => {
      if (url && this._url === url) this.pusher.start(begun);
    });
  }

  /** Publish nothing any more; the others are played on. */
  unpush() {
    this._url = '';
    this.pusher.stop();
    this._screen.show({ pushURL: '', place: this._seat() });
  }

  /** Let go of everything. */
  clear() {
    this._url = '';
    this._full = false;
    this._players.forEach((player) => player.stop());
    this._players.clear();
    this.members = [];
    this.pusher.stop();
    this._screen.show({ pushURL: '', members: [], place: this._seat() });
  }

  pause() {
    this.pusher.pause();
    this._players.forEach((player) => player.pause());
  }

  resume() {
    this.pusher.resume();
    this._players.forEach((player) => player.resume());
  }

  /** The camera was switched on or off: a pusher takes that only when it starts. */
  restartPusher() {
    this._screen.show({}, () => this.pusher.restart());
  }

  /** Another template stands on the page, with new tags: they know nothing of what the old ones did. */
  redrawn() {
    this.pusher.restart();
    this._players.forEach((player) => player.redrawn());
  }

  // --- who is there

  /** @param {Listed[]} list everybody who publishes but us, in order of publishing */
  list(list) {
    const { template, autoplay } = this._director.casting();
    const limit = maxMembers(template);
    const { members, started, ended, over } = arrange(this.members, list, { limit, autoplay });
    ended.forEach((member) => {
      const player = this._players.get(member.userID);
      if (player) player.stop();
      this._players.delete(member.userID);
    });
    this.members = members;
    this._draw(() => started.forEach((member) => this._play(member)));
    if (over && !this._full) this._director.full(limit);
    this._full = over;
  }

  /** @param {RoomMember} member */
  _play(member) {
    if (this.members.indexOf(member) < 0) return;
    let player = this._players.get(member.userID);
    if (!player) {
      player = new Player(member, {
        context: this._screen.player,
        autoplay: () => this._director.casting().autoplay,
        changed: (done) => this._draw(done),
        hopeless: () => this._director.hopeless(member),
      });
      this._players.set(member.userID, player);
    }
    player.start();
  }

  /** Places have changed: another presenter, or layout. */
  reseat() {
    this._draw();
  }

  /** @param {() => void} [done] */
  _draw(done) {
    const place = this._seat();
    this._screen.show({ members: this.members.map((member) => Object.assign({}, member)), place }, done);
  }

  _seat() {
    const { template, userID, presenter, large, absent } = this._director.casting();
    return seat(this.members, large || largeOf(template, this.members, userID, presenter), absent ? '' : userID);
  }

  // --- one member

  /** @param {string} userID @param {boolean} enable */
  showVideo(userID, enable) {
    const member = this.members.find((one) => one.userID === userID);
    const player = this._players.get(userID);
    if (!member || !player) return;
    member.hidden = !enable;
    const begin = enable && !member.wanted;
    member.wanted = member.wanted || enable;
    this._draw(() => {
      if (begin) player.start();
    });
  }

  /** @param {string} userID @param {boolean} enable */
  hearAudio(userID, enable) {
    const member = this.members.find((one) => one.userID === userID);
    if (!member || member.muted === !enable) return;
    member.muted = !enable;
    this._draw();
  }

  /** @param {string} userID @param {number} code */
  playerState(userID, code) {
    const player = this._players.get(userID);
    if (player) player.event(code);
  }
}

module.exports = { Stage };
