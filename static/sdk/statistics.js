// @ts-check
/**
 * What goes over the two connections, each two seconds: STATISTICS and NETWORK_QUALITY, from the browser's own reports.
 *
 * Quality is the worst of two judgements (the first line whose limits both hold):
 *
 *     1 excellent   loss to 1 %    round trip to 100 ms
 *     2 good                5 %                  200 ms
 *     3 fair               10 %                  350 ms
 *     4 poor               20 %                  500 ms
 *     5 very poor   more than that
 *     6 the connection is down
 *     0 there is no connection yet
 *
 * Loss is that of the last two seconds, before anything was repaired.
 */

/**
 * @typedef {{bitrate: number, audioLevel: number, loss?: number, jitter?: number, codec?: string}} AudioStatistic
 *   kbit/s, 0..1; ours: % and ms
 * @typedef {{
 *   width: number, height: number, frameRate: number, bitrate: number, videoType: 'big' | 'small' | 'sub',
 *   loss?: number, jitter?: number, codec?: string,
 * }} VideoStatistic
 * @typedef {{
 *   rtt: number, upLoss: number, downLoss: number, bytesSent: number, bytesReceived: number,
 *   localStatistics: {audio: AudioStatistic, video: VideoStatistic[]},
 *   remoteStatistics: {userId: string, audio: AudioStatistic, video: VideoStatistic[]}[],
 * }} Statistic `rtt` in ms, losses in %
 * @typedef {{
 *   uplinkNetworkQuality: number, downlinkNetworkQuality: number, uplinkRTT: number, uplinkLoss: number,
 *   downlinkRTT: number, downlinkLoss: number,
 * }} NetworkQuality qualities 0..6, ms, %
 * @typedef {Record<string, any>} Entry of a report
 * @typedef {Map<string, Entry>} Report
 * @typedef {{userId: string, stream: 'main' | 'aux'}} Whose
 */

const PERIOD_MS = 2_000;

/** @type {[number, number][]} most loss in %, longest round trip in ms, of the qualities 1 to 4 */
const LIMITS = [
  [1, 100],
  [5, 200],
  [10, 350],
  [20, 500],
];

export class Statistics {
  #on;
  #timer = 0;
  /** @type {Report} the last report of both connections, by their own keys */
  #before = new Map();
  #at = 0;
  /** @type {Statistic | null} */
  statistics = null;
  /** @type {NetworkQuality | null} */
  quality = null;

  /**
   * @param {{
   *   statistics: (statistic: Statistic) => void,
   *   quality: (quality: NetworkQuality) => void,
   *   up: () => RTCPeerConnection | null,
   *   down: () => RTCPeerConnection | null,
   *   sent: () => Record<string, 'main' | 'aux'>,
   *   received: () => Map<string, Whose>,
   * }} on `sent` and `received` say whose the sections are, by mid
   */
  constructor(on) {
    this.#on = on;
  }

  start() {
    this.stop();
    this.#timer = setInterval(() => void this.#measure(), PERIOD_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#before.clear();
    this.statistics = this.quality = null;
  }

  async #measure() {
    const timer = this.#timer;
    const [up, down] = [this.#on.up(), this.#on.down()];
    const [sent, received] = await Promise.all([read(up), read(down)]);
    if (timer !== this.#timer || !timer) return;
    const seconds = this.#at ? (performance.now() - this.#at) / 1000 : PERIOD_MS / 1000;
    this.#at = performance.now();
    const rates = new Rates(this.#before, seconds);
    this.statistics = {
      rtt: roundTrip(sent) ?? roundTrip(received) ?? 0,
      upLoss: rates.upLoss(sent),
      downLoss: rates.downLoss([...received.values()].filter(isMedia)),
      bytesSent: total(sent, 'bytesSent') + total(received, 'bytesSent'),
      bytesReceived: total(sent, 'bytesReceived') + total(received, 'bytesReceived'),
      localStatistics: this.#local(sent, rates),
      remoteStatistics: this.#remote(received, rates),
    };
    this.#before = new Map([...sent, ...received]);
    this.quality = judge(this.statistics, up, down, received);
    this.#on.statistics(this.statistics);
    this.#on.quality(this.quality);
  }

  /**
   * @param {Report} report
   * @param {Rates} rates
   */
  #local(report, rates) {
    const streams = this.#on.sent();
    const found = nothing();
    for (const entry of report.values()) {
      const stream = entry.type === 'outbound-rtp' ? streams[entry.mid] : undefined;
      if (!stream) continue;
      const bitrate = rates.kbps(entry, 'bytesSent');
      const more = { bitrate, ...codec(report, entry) };
      if (entry.kind === 'video') {
        found.video.push({ ...size(entry), videoType: stream === 'aux' ? 'sub' : 'big', ...more });
      } else if (stream === 'main') {
        found.audio = { audioLevel: report.get(key(entry, entry.mediaSourceId))?.audioLevel ?? 0, ...more };
      }
    }
    return found;
  }

  /**
   * @param {Report} report
   * @param {Rates} rates
   */
  #remote(report, rates) {
    const whose = this.#on.received();
    /** @type {Map<string, {userId: string, audio: AudioStatistic, video: VideoStatistic[]}>} */
    const users = new Map();
    for (const entry of report.values()) {
      const owner = isMedia(entry) ? whose.get(entry.mid) : undefined;
      if (!owner) continue;
      const { userId, stream } = owner;
      const found = users.get(userId) ?? { userId, ...nothing() };
      users.set(userId, found);
      const more = {
        bitrate: rates.kbps(entry, 'bytesReceived'),
        loss: rates.downLoss([entry]),
        jitter: Math.round((entry.jitter ?? 0) * 1000),
        ...codec(report, entry),
      };
      if (entry.kind === 'video') {
        found.video.push({ ...size(entry), videoType: stream === 'aux' ? 'sub' : 'big', ...more });
      } else if (stream === 'main') {
        found.audio = { audioLevel: entry.audioLevel ?? 0, ...more };
      }
    }
    return [...users.values()];
  }
}

/** How counters have grown since the last report. */
class Rates {
  /**
   * @param {Report} before
   * @param {number} seconds
   */
  constructor(before, seconds) {
    this.before = before;
    this.seconds = seconds;
  }

  /**
   * @param {Entry} entry
   * @param {string} counter
   */
  grown(entry, counter) {
    return Math.max(0, (entry[counter] ?? 0) - (this.before.get(key(entry, entry.id))?.[counter] ?? 0));
  }

  /**
   * @param {Entry} entry
   * @param {string} counter of bytes
   */
  kbps(entry, counter) {
    return Math.round((this.grown(entry, counter) * 8) / 1000 / this.seconds);
  }

  /** @param {Report} report of the connection that sends */
  upLoss(report) {
    let lost = 0;
    let sent = 0;
    for (const entry of report.values()) {
      if (entry.type === 'outbound-rtp') sent += this.grown(entry, 'packetsSent');
      else if (entry.type === 'remote-inbound-rtp') lost += this.grown(entry, 'packetsLost');
    }
    return percent(lost, Math.max(sent, lost));
  }

  /** @param {Entry[]} entries received streams */
  downLoss(entries) {
    let lost = 0;
    let all = 0;
    for (const entry of entries) {
      const missed = this.grown(entry, 'packetsLost');
      lost += missed;
      all += missed + this.grown(entry, 'packetsReceived');
    }
    return percent(lost, all);
  }
}

/** @returns {{audio: AudioStatistic, video: VideoStatistic[]}} */
const nothing = () => ({ audio: { bitrate: 0, audioLevel: 0 }, video: [] });

/** @param {Entry} entry */
const isMedia = (entry) => entry.type === 'inbound-rtp';

/**
 * Ids are unique in one connection only; the certificate, or whatever else, may be the same in both.
 * @param {Entry} entry
 * @param {string} id
 */
const key = (entry, id) => `${entry.connection}/${id}`;

/** @type {WeakMap<RTCPeerConnection, number>} */
const numbers = new WeakMap();
let count = 0;

/**
 * @param {RTCPeerConnection | null} connection
 * @returns {Promise<Report>}
 */
async function read(connection) {
  /** @type {Report} */
  const found = new Map();
  if (!connection) return found;
  if (!numbers.has(connection)) numbers.set(connection, (count += 1));
  const report = await connection.getStats().catch(() => undefined);
  report?.forEach((entry) => {
    const own = { ...entry, connection: numbers.get(connection) };
    found.set(key(own, entry.id), own);
  });
  return found;
}

/** @param {Report} report @returns {number | undefined} ms */
function roundTrip(report) {
  for (const entry of report.values()) {
    if (entry.type !== 'candidate-pair' || !entry.nominated || entry.state !== 'succeeded') continue;
    if (typeof entry.currentRoundTripTime === 'number') return Math.round(entry.currentRoundTripTime * 1000);
  }
  return undefined;
}

/**
 * @param {Report} report
 * @param {string} counter
 */
function total(report, counter) {
  let sum = 0;
  for (const entry of report.values()) if (entry.type === 'transport') sum += entry[counter] ?? 0;
  return sum;
}

/** @param {Entry} entry */
const size = (entry) => ({
  width: entry.frameWidth ?? 0,
  height: entry.frameHeight ?? 0,
  frameRate: Math.round(entry.framesPerSecond ?? 0),
});

/**
 * @param {Report} report
 * @param {Entry} entry
 */
function codec(report, entry) {
  const name = report.get(key(entry, entry.codecId))?.mimeType?.split('/')[1];
  return name ? { codec: name } : {};
}

/** @param {number} part @param {number} whole @returns {number} % to one decimal */
const percent = (part, whole) => (whole ? Math.round((1000 * part) / whole) / 10 : 0);

/**
 * @param {Statistic} statistic
 * @param {RTCPeerConnection | null} up
 * @param {RTCPeerConnection | null} down
 * @param {Report} received
 * @returns {NetworkQuality}
 */
function judge({ rtt, upLoss, downLoss }, up, down, received) {
  const downRtt = roundTrip(received) ?? rtt;
  return {
    uplinkNetworkQuality: quality(up?.connectionState, upLoss, rtt),
    downlinkNetworkQuality: quality(down?.connectionState, downLoss, downRtt),
    uplinkRTT: rtt,
    uplinkLoss: upLoss,
    downlinkRTT: downRtt,
    downlinkLoss: downLoss,
  };
}

/**
 * @param {RTCPeerConnectionState | undefined} state
 * @param {number} loss %
 * @param {number} rtt ms
 * @returns {number} 0..6
 */
export function quality(state, loss, rtt) {
  if (state === 'disconnected' || state === 'failed') return 6;
  if (state !== 'connected') return 0;
  const grade = LIMITS.findIndex(([mostLoss, longest]) => loss <= mostLoss && rtt <= longest);
  return grade < 0 ? 5 : grade + 1;
}
