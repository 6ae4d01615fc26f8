/**
 * Who stands where: the places of a template, filled from the list of those who publish. Pure.
 *
 * Place 0 is the large one (of the grids: the first). Nobody loses a place because somebody else came or went, since a
 * native tag that moves between elements starts anew; the style sheet (stage.wxss) says where a place is.
 */

/** Remote members that a template shows. */
const LIMITS = /** @type {Record<string, number>} */ ({
  '1v1': 1,
  bigsmall: 1,
  '1v3': 3,
  '1u3d': 3,
  '1l3r': 3,
  grid: 3,
  float: 3,
  vertical1v3: 3,
});
const DEFAULT_TEMPLATE = '1v3';
/** Templates in which our own picture lies upon the one other. */
const PAIRS = ['1v1', 'bigsmall'];
/** Templates with a large place for the presenter. */
const STAGED = ['1u3d', '1l3r'];

/**
 * @typedef {{
 *   userID: string, userName: string, accelerateURL: string, loading: boolean, mode: 'RTC' | 'live',
 *   minCache: number, maxCache: number, muted: boolean, hidden: boolean, wanted: boolean, place: number,
 * }} RoomMember `accelerateURL` goes into live-player; `wanted`: is to be played; `hidden`: heard, not seen
 * @typedef {{ mode: 'RTC' | 'live', minCache: number, maxCache: number }} Playing seconds
 * @typedef {{ userID: string, accelerateURL: string, userName?: string, playing?: Playing }} Listed
 *   `playing`: how this address is played, else as in a call
 */

/** @type {Playing} */
const CALL = { mode: 'RTC', minCache: 0.1, maxCache: 0.3 };
/** @type {Playing} for what comes over HTTP, or later than it might: smooth before quick */
const BROADCAST = { mode: 'live', minCache: 1, maxCache: 3 };

/** @param {string} template what the page asked for @param {string} [usual] for what is no template */
const templateOf = (template, usual = DEFAULT_TEMPLATE) => (template in LIMITS ? template : usual);

/** @param {string} template */
const maxMembers = (template) => LIMITS[templateOf(template)];

/** Which of the two templates of stage.wxml draws it: with another one all tags are new. @param {string} template */
const kindOf = (template) => (PAIRS.indexOf(template) >= 0 ? 'room-pair' : 'room-many');

/** @param {Listed} listed @param {boolean} wanted @returns {RoomMember} */
const newMember = ({ userID, userName, accelerateURL, playing }, wanted) =>
  Object.assign(
    { userID, userName: userName || userID, accelerateURL, loading: wanted, muted: false, hidden: false, wanted, place: 0 },
    playing || CALL,
  );

/**
 * Make the shown members agree with a new list.
 * @param {RoomMember[]} shown
 * @param {Listed[]} list complete, in order of publishing, without oneself
 * @param {{ limit: number, autoplay: boolean }} rules
 * @returns {{ members: RoomMember[], started: RoomMember[], ended: RoomMember[], over: boolean }} `started`: new, or
 *   with another URL; `over`: the list is longer than the places
 */
function arrange(shown, list, { limit, autoplay }) {
  const found = new Map(list.map((entry) => /** @type {[string, Listed]} */ ([entry.userID, entry])));
  const started = [];
  const ended = shown.filter((member) => !found.has(member.userID));
  const members = shown.filter((member) => found.has(member.userID)).slice(0, limit);
  ended.push(...shown.filter((member) => found.has(member.userID)).slice(limit));
  for (const member of members) {
    const { accelerateURL, userName, playing } = /** @type {Listed} */ (found.get(member.userID));
    member.userName = userName || member.userName;
    if (accelerateURL !== member.accelerateURL) {
      // A mode that a player has fallen back to stays, unless this address has its own.
      Object.assign(member, { accelerateURL }, playing);
      started.push(member);
    }
    found.delete(member.userID);
  }
  for (const entry of found.values()) {
    if (members.length >= limit) break;
    const member = newMember(entry, autoplay);
    members.push(member);
    started.push(member);
  }
  return { members, started, ended, over: list.length > limit };
}

/**
 * Who gets place 0.
 * @param {string} template
 * @param {RoomMember[]} members
 * @param {string} self
 * @param {string} presenter '' or somebody who is not there: nobody in particular
 * @returns {string} a user id, '' for nobody
 */
function largeOf(template, members, self, presenter) {
  const name = templateOf(template);
  if (PAIRS.indexOf(name) >= 0) return members.length ? members[0].userID : '';
  if (STAGED.indexOf(name) >= 0 && members.some((member) => member.userID === presenter)) return presenter;
  return self;
}

/**
 * Give everybody a place, in the members themselves.
 * @param {RoomMember[]} members
 * @param {string} large who gets place 0
 * @param {string} self '' if we are not in the picture
 * @returns {number} our own place
 */
function seat(members, large, self) {
  let place = 1;
  const own = self === large || self === '' ? 0 : place++;
  for (const member of members) member.place = member.userID === large ? 0 : place++;
  return own;
}

module.exports = { BROADCAST, CALL, arrange, kindOf, largeOf, maxMembers, seat, templateOf };
