// @ts-check
/** What both peer connections need: somebody who notices that one is dead, and what to write into descriptions. */

const CAPTURE_TIME = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time';
const DISCONNECTED_MS = 3_000;
const RESTART_MS = 8_000;

/** Watches a connection and calls for help: first an ICE restart, then, if that did not do, a new connection. */
export class Watch {
  #timer = 0;
  #attempts = 0;
  #connection;
  #on;

  /**
   * @param {RTCPeerConnection} connection
   * @param {{restart: () => void, rebuild: () => void, changed: () => void}} on
   */
  constructor(connection, on) {
    this.#connection = connection;
    this.#on = on;
    connection.addEventListener('connectionstatechange', () => this.#changed());
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = -1;
  }

  #changed() {
    if (this.#timer === -1) return;
    const state = this.#connection.connectionState;
    if (state === 'connected') {
      clearTimeout(this.#timer);
      this.#timer = this.#attempts = 0;
    } else if (state === 'failed') {
      this.#help();
    } else if (state === 'disconnected' && !this.#timer) {
      this.#timer = setTimeout(() => this.#help(), DISCONNECTED_MS);
    }
    this.#on.changed();
  }

  #help() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#help(), RESTART_MS);
    this.#attempts += 1;
    if (this.#attempts === 1) this.#on.restart();
    else this.#on.rebuild();
  }
}

/**
 * Chromium takes Opus for one channel unless a description asks for two: its own, for what it decodes; the other side's,
 * which repeats what was offered, for what it encodes.
 * @param {string} sdp
 */
export function inStereo(sdp) {
  let result = sdp;
  for (const [, type] of sdp.matchAll(/^a=rtpmap:(\d+) opus\//gim)) {
    const line = new RegExp(`^a=fmtp:${type} (?!.*\\bstereo=)(.*?)(\r?)$`, 'gm');
    result = result.replace(line, `a=fmtp:${type} $1;stereo=1$2`);
  }
  return result;
}

/**
 * The same for some sections of a description alone.
 * @param {string} sdp
 * @param {boolean[]} which of the sections of sound and picture, in their order
 */
export function sectionsInStereo(sdp, which) {
  let index = 0;
  const sections = sdp.split(/(?=^m=)/m);
  return sections.map((section) => (/^m=(audio|video)/.test(section) && which[index++] ? inStereo(section) : section)).join('');
}

/** @param {RTCRtpTransceiver} section */
export function switchOnCaptureTime(section) {
  const any = /** @type {any} */ (section);
  if (!any.getHeaderExtensionsToNegotiate) return;
  try {
    const extensions = any.getHeaderExtensionsToNegotiate();
    for (const extension of extensions) if (extension.uri === CAPTURE_TIME) extension.direction = 'sendrecv';
    any.setHeaderExtensionsToNegotiate(extensions);
  } catch {
    // An older browser: sender reports tell the same, later.
  }
}

/**
 * Offer these codecs, in this order, and what repairs them.
 * @param {RTCRtpTransceiver} section
 * @param {string[]} names
 */
export function preferCodecs(section, names) {
  const all = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
  const is = (/** @type {RTCRtpCodec} */ codec, /** @type {string} */ name) =>
    codec.mimeType.toLowerCase() === `video/${name.toLowerCase()}`;
  const wanted = names.flatMap((name) => {
    const found = all.filter((codec) => is(codec, name));
    return name.toUpperCase() === 'H264' ? found.sort((a, b) => rank(a) - rank(b)) : found;
  });
  if (!wanted.length) return;
  try {
    section.setCodecPreferences([...wanted, ...all.filter((codec) => is(codec, 'rtx'))]);
  } catch {
    // The browser's own order then.
  }
}

/** @param {RTCRtpCodec} codec @returns {number} Constrained Baseline in mode 1 first */
function rank(codec) {
  const line = codec.sdpFmtpLine ?? '';
  return (line.includes('packetization-mode=1') ? 0 : 2) + (line.includes('42e01f') ? 0 : 1);
}
