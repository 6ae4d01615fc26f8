/**
 * Who stands where: the places of a template, filled from the list of those who publish. Pure.
 *
 * Place 0 is the large one (of the grids: the first). Nobody loses a place because somebody else came or went, since a
 * native tag that moves between elements starts anew; the template's style sheet says where a place is.
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
});
const DEFAULT_TEMPLATE = '1v3';

/**
 * @typedef {{
 *   userID: string, userName: string, accelerateURL: string, loading: boolean, mode: 'RTC' | 'live',
 *   minCache: number, maxCache: number, muted: boolean, hidden: boolean, wanted: boolean, place: number,
 * }} RoomMember `accelerateURL` goes into live-player; `wanted`: is to be played; `hidden`: heard, not seen
 * @typedef {{ userID: string, accelerateURL: string }} Listed
 */

/** @param {string} template what the page asked for */
const templateOf = (template) => (template in LIMITS ? template : DEFAULT_TEMPLATE);

/** @param {string} template */
const maxMembers = (template) => LIMITS[templateOf(template)];

/** @param {Listed} listed @param {boolean} wanted @returns {RoomMember} */
const newMember = ({ userID, accelerateURL }, wanted) => ({
  userID,
  userName: userID,
  accelerateURL,
  loading: wanted,
  mode: 'RTC',
  minCache: 0.1,
  maxCache: 0.3,
  muted: false,
  hidden: false,
  wanted,
  place: 0,
});

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
    const { accelerateURL } = /** @type {Listed} */ (found.get(member.userID));
    if (accelerateURL !== member.accelerateURL) {
      member.accelerateURL = accelerateURL;
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
 * Give everybody a place, in the members themselves.
 * @param {RoomMember[]} members
 * @param {{ template: string, self: string, presenter: string }} scene
 * @returns {number} our own place
 */
function seat(members, { template, self, presenter }) {
  const name = templateOf(template);
  let large = '';
  if (name === '1v1' || name === 'bigsmall') large = members.length ? members[0].userID : '';
  else if (name === '1u3d' || name === '1l3r') {
    large = members.some((member) => member.userID === presenter) ? presenter : self;
  } else large = self;
  let place = 1;
  const own = large === self || name === '1v1' || name === 'bigsmall' ? Number(large !== self) : place++;
  for (const member of members) member.place = member.userID === large ? 0 : place++;
  return own;
}

module.exports = { arrange, maxMembers, seat, templateOf };
