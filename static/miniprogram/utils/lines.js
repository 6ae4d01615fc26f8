/** What was said in a room, as the sample's pages show it: the last lines, each with a number of its own. */

const MOST = 200;

/** @typedef {{ id: number, from: string, text: string, own: boolean }} ChatLine */

/** @param {ChatLine[]} lines @param {{ from: string, text: string, own: boolean }} said @returns {ChatLine[]} */
function withLine(lines, said) {
  const id = lines.length ? lines[lines.length - 1].id + 1 : 1;
  return lines.concat([Object.assign({ id }, said)]).slice(-MOST);
}

module.exports = { withLine };
