// @ts-check
/**
 * The two peer connections of a member: `UpPeer` sends (we offer), `DownPeer` receives (the server offers).
 *
 * The first section of *up* is the datachannel and lives as long as the connection, because the first section carries
 * the transport. Sections are never stopped: a camera that goes off becomes `inactive` and its section is used again.
 */

import { Watch, inStereo, preferCodecs, sectionsInStereo, switchOnCaptureTime } from './connection.js';
import { RtcError, isLost } from './errors.js';
import { log } from './log.js';

/**
 * @typedef {import('./signaling.js').Signaling} Signaling
 * @typedef {'main' | 'aux'} Stream
 * @typedef {'audio' | 'video'} Kind
 * @typedef {{
 *   stream: Stream, kind: Kind, track: MediaStreamTrack, active: boolean, bitrateKbps?: number, stereo?: boolean,
 *   preference?: import('./local.js').QosPreference,
 * }} Sent
 * @typedef {{mid: string, userId: string, stream: Stream, kind: Kind}} Slot
 */

const RESTART_MS = 8_000;
const REBUILD_MS = 1_000;

export class UpPeer {
  #signaling;
  #codecs;
  #on;
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  /** @type {Watch | null} */
  #watch = null;
  /** @type {Map<string, Sent>} what is to be sent, by stream and kind; outlives a connection */
  #sent = new Map();
  /** @type {Map<string, RTCRtpTransceiver>} */
  #sections = new Map();
  #streams = { main: new MediaStream(), aux: new MediaStream() };
  #wanted = false;
  #restartWanted = false;
  /** the first section stands */
  #anchored = false;
  /** @type {Promise<void> | null} */
  #running = null;
  /** @type {Promise<void> | null} */
  #building = null;

  /**
   * @param {Signaling} signaling
   * @param {string[]} codecs names in order of preference, such as ["H264", "VP8"]; others are not offered
   * @param {{
   *   changed: () => void, failed: (error: RtcError) => void, channel: (channel: RTCDataChannel | null) => void,
   *   sender: (sender: RTCRtpSender, stream: Stream, kind: Kind) => void,
   * }} on `failed`: the server refused what was sent; `channel`: the datachannel "chat" is another one, or none;
   *   `sender`: a new one, before it sends
   */
  constructor(signaling, codecs, on) {
    this.#signaling = signaling;
    this.#codecs = codecs;
    this.#on = on;
  }

  get connectionState() {
    return this.#connection?.connectionState ?? 'new';
  }

  get connection() {
    return this.#connection;
  }

  /**
   * Connect (again, from nothing): the datachannel first, then everything that is to be sent.
   * @param {Sent[]} [sent] instead of what was sent before
   */
  build(sent) {
    this.#drop();
    if (sent) this.#sent = new Map(sent.map((one) => [`${one.stream}/${one.kind}`, one]));
    this.#connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: this.#signaling.iceServers });
    this.#watch = new Watch(this.#connection, {
      restart: () => this.restart(),
      rebuild: () => this.build().catch((error) => this.#trouble(error)),
      changed: this.#on.changed,
    });
    this.#on.channel(this.#connection.createDataChannel('chat'));
    this.#building = this.#build(this.#connection);
    return this.#building;
  }

  /** @param {RTCPeerConnection} connection */
  async #build(connection) {
    await this.#negotiate();
    if (connection !== this.#connection) return;
    this.#anchored = true;
    if (!this.#sent.size) return;
    for (const sent of this.#sent.values()) await this.#attach(sent);
    await this.#negotiate();
  }

  /** @returns {Record<string, Stream>} mid → stream, of the sections in use */
  get streams() {
    return this.#map();
  }

  /**
   * Send a track, replacing what this stream and kind sent before.
   * @param {Sent} sent
   * @returns {Promise<boolean>} false if the connection was lost meanwhile: then it is sent when that is back
   */
  async send(sent) {
    const key = `${sent.stream}/${sent.kind}`;
    const section = this.#sent.has(key) ? this.#sections.get(key) : undefined;
    this.#sent.set(key, sent);
    if (!this.#connection) return false;
    try {
      if (!this.#anchored) {
        await this.#building;
      } else if (section) {
        await section.sender.replaceTrack(sent.track);
        await this.setActive(sent.stream, sent.kind, sent.active);
      } else {
        await this.#attach(sent);
        await this.#negotiate();
      }
      return this.#sent.get(key) === sent && this.#sections.has(key);
    } catch (error) {
      if (isLost(error)) return false;
      await this.#detach(key);
      throw error;
    }
  }

  /**
   * Send nothing more of this stream and kind.
   * @param {Stream} stream
   * @param {Kind} kind
   */
  async stop(stream, kind) {
    const key = `${stream}/${kind}`;
    if (!this.#sent.has(key)) return;
    await this.#detach(key);
    if (this.#anchored) await this.#negotiate().catch((error) => this.#trouble(error));
  }

  /**
   * Pause or continue a picture without a new offer.
   * @param {Stream} stream
   * @param {Kind} kind
   * @param {boolean} active
   */
  async setActive(stream, kind, active) {
    const key = `${stream}/${kind}`;
    const sent = this.#sent.get(key);
    if (!sent) return;
    sent.active = active;
    await this.#change(key, (encoding) => (encoding.active = active));
  }

  /**
   * Send the same track in another manner: bit rate, and what a weak network keeps.
   * @param {Sent} sent
   */
  async adjust(sent) {
    const key = `${sent.stream}/${sent.kind}`;
    if (!this.#sent.has(key)) return;
    this.#sent.set(key, sent);
    await this.#change(key, (encoding, parameters) => {
      if (sent.bitrateKbps) encoding.maxBitrate = sent.bitrateKbps * 1000;
      prefer(parameters, sent.preference);
    });
  }

  /**
   * @param {string} key
   * @param {(encoding: RTCRtpEncodingParameters, parameters: RTCRtpSendParameters) => void} edit
   */
  async #change(key, edit) {
    const sender = this.#sections.get(key)?.sender;
    const parameters = sender?.getParameters();
    if (!sender || !parameters?.encodings?.length) return;
    edit(parameters.encodings[0], parameters);
    await sender.setParameters(parameters);
  }

  /** Ask for a new path with the same keys. */
  restart() {
    this.#restartWanted = true;
    this.#negotiate().catch((error) => this.#trouble(error));
  }

  /** @param {unknown} error */
  #trouble(error) {
    if (isLost(error)) return;
    if (error instanceof RtcError) this.#on.failed(error);
    else log.warn('up:', error);
  }

  close() {
    this.#drop();
    this.#sent.clear();
  }

  #drop() {
    this.#watch?.stop();
    this.#connection?.close();
    this.#connection = null;
    this.#sections.clear();
    this.#wanted = this.#restartWanted = this.#anchored = false;
    this.#running = this.#building = null;
    this.#on.channel(null);
  }

  /** @param {Sent} sent */
  async #attach(sent) {
    const key = `${sent.stream}/${sent.kind}`;
    const connection = /** @type {RTCPeerConnection} */ (this.#connection);
    const used = this.#sections.get(key);
    if (used) {
      used.direction = 'sendonly';
      await used.sender.replaceTrack(sent.track);
      await this.setActive(sent.stream, sent.kind, sent.active);
      return;
    }
    /** @type {RTCRtpEncodingParameters} */
    const encoding = { active: sent.active };
    if (sent.bitrateKbps) encoding.maxBitrate = sent.bitrateKbps * 1000;
    const section = connection.addTransceiver(sent.track, {
      direction: 'sendonly',
      streams: [this.#streams[sent.stream]],
      sendEncodings: [encoding],
    });
    this.#sections.set(key, section);
    this.#on.sender(section.sender, sent.stream, sent.kind);
    switchOnCaptureTime(section);
    if (sent.kind === 'video') preferCodecs(section, this.#codecs);
  }

  /** @param {string} key */
  async #detach(key) {
    this.#sent.delete(key);
    const section = this.#sections.get(key);
    if (!section) return;
    section.direction = 'inactive';
    await section.sender.replaceTrack(null).catch(() => undefined);
  }

  /** Offer until the server knows the present state. One offer at a time; calls in between share the next one. */
  #negotiate() {
    this.#wanted = true;
    if (!this.#running) {
      const running = this.#offers().finally(() => {
        if (this.#running === running) this.#running = null;
      });
      this.#running = running;
    }
    return this.#running;
  }

  async #offers() {
    const connection = this.#connection;
    await Promise.resolve();
    while (this.#wanted && connection && connection === this.#connection) {
      const iceRestart = this.#restartWanted;
      this.#wanted = this.#restartWanted = false;
      try {
        if (iceRestart) await this.#offer(connection, true);
        await this.#offer(connection, false);
      } catch (error) {
        if (connection.signalingState === 'have-local-offer') {
          await connection.setLocalDescription({ type: 'rollback' }).catch(() => undefined);
        }
        throw error;
      }
    }
  }

  /**
   * @param {RTCPeerConnection} connection
   * @param {boolean} iceRestart
   */
  async #offer(connection, iceRestart) {
    if (connection !== this.#connection) return;
    const offer = await connection.createOffer({ iceRestart });
    await connection.setLocalDescription({ type: 'offer', sdp: sectionsInStereo(offer.sdp ?? '', this.#inStereo(connection)) });
    const sdp = connection.localDescription?.sdp ?? '';
    const answer = iceRestart
      ? await this.#signaling.request('restart', { direction: 'up', sdp }, RESTART_MS)
      : await this.#signaling.request('publish', { sdp, streams: this.#map() });
    if (connection !== this.#connection) return;
    await connection.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
  }

  /**
   * Which sections are for two channels of sound. They stand in the order of the transceivers: none is ever used anew.
   * @param {RTCPeerConnection} connection
   */
  #inStereo(connection) {
    const stereo = new Set([...this.#sent].flatMap(([key, sent]) => (sent.stereo ? this.#sections.get(key) : [])));
    return connection.getTransceivers().map((section) => stereo.has(section));
  }

  #map() {
    /** @type {Record<string, Stream>} */
    const streams = {};
    for (const [key, sent] of this.#sent) {
      const mid = this.#sections.get(key)?.mid;
      if (mid) streams[mid] = sent.stream;
    }
    return streams;
  }
}

export class DownPeer {
  #signaling;
  #on;
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  /** @type {Watch | null} */
  #watch = null;
  /** @type {Promise<void>} */
  #chain = Promise.resolve();
  /** @type {Map<string, Slot>} whose the sections are, by mid */
  received = new Map();

  /**
   * @param {Signaling} signaling
   * @param {{
   *   changed: () => void,
   *   slots: (slots: (Slot & {track: MediaStreamTrack})[]) => void,
   *   receiver: (receiver: RTCRtpReceiver) => void,
   *   owner: (receiver: RTCRtpReceiver, slot: Slot) => void,
   * }} on `slots` gets the whole list at each change; `receiver`: a new one; `owner`: whose it is now
   */
  constructor(signaling, on) {
    this.#signaling = signaling;
    this.#on = on;
  }

  get connectionState() {
    return this.#connection?.connectionState ?? 'new';
  }

  get connection() {
    return this.#connection;
  }

  /**
   * Take an offer of the server and answer it. Offers are handled one after the other.
   * @param {{n: number, sdp: string, map: Slot[]}} offer
   */
  offered(offer) {
    this.#chain = this.#chain.then(() => this.#accept(offer)).catch((error) => log.warn('down:', error));
    return this.#chain;
  }

  /** Ask the server for a new path with the same keys. */
  restart() {
    if (this.#connection) this.#ask({ direction: 'down' });
  }

  /** Ask the server for a whole new connection. */
  rebuild() {
    this.drop();
    this.#ask({ direction: 'down', fresh: true });
  }

  /** @param {{direction: 'down', fresh?: boolean}} fields */
  #ask(fields) {
    this.#signaling.request('restart', fields, RESTART_MS).catch((error) => isLost(error) || log.warn('down:', error));
  }

  /** Forget the connection; the next offer makes a new one. */
  drop() {
    this.#watch?.stop();
    this.#connection?.close();
    this.#connection = null;
    this.received.clear();
    this.#on.slots([]);
  }

  /** @param {{n: number, sdp: string, map: Slot[]}} offer */
  async #accept(offer) {
    const connection = (this.#connection ??= this.#make());
    try {
      await connection.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
      const answer = await connection.createAnswer();
      await connection.setLocalDescription({ type: 'answer', sdp: inStereo(answer.sdp ?? '') });
    } catch (error) {
      // Not our connection any more, or not an offer: begin anew, but never in a tight circle.
      setTimeout(() => connection === this.#connection && this.rebuild(), REBUILD_MS);
      throw error;
    }
    if (connection !== this.#connection) return;
    await this.#signaling.request('answer', { n: offer.n, sdp: connection.localDescription?.sdp ?? '' });
    const sections = new Map(connection.getTransceivers().map((section) => [section.mid, section]));
    const slots = [];
    for (const slot of offer.map) {
      const receiver = sections.get(slot.mid)?.receiver;
      if (!receiver) continue;
      this.#on.owner(receiver, slot);
      slots.push({ ...slot, track: receiver.track });
    }
    this.received = new Map(offer.map.map((slot) => [slot.mid, slot]));
    this.#on.slots(slots);
  }

  #make() {
    const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: this.#signaling.iceServers });
    this.#watch = new Watch(connection, {
      restart: () => this.restart(),
      rebuild: () => this.rebuild(),
      changed: this.#on.changed,
    });
    connection.addEventListener('track', ({ receiver }) => this.#on.receiver(receiver));
    return connection;
  }
}

/**
 * @param {RTCRtpSendParameters} parameters
 * @param {import('./local.js').QosPreference | undefined} preference
 */
function prefer(parameters, preference) {
  if (!preference) return;
  const degradationPreference = preference === 'clear' ? 'maintain-resolution' : 'maintain-framerate';
  Object.assign(parameters, { degradationPreference });
}
