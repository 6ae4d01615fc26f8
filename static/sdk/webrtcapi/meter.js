// @ts-check
/** How loud a stream is, many times a second: `WebRTCAPI.SoundMeter`. */

/**
 * @typedef {{
 *   stream: MediaStream,
 *   onprocess?: (detail: {volume: number, status: 'speaking' | 'silent', event: Event}) => void,
 * }} MeterOptions `volume` 0..1, the root mean square of 85 ms
 */

const SAMPLES = 4096;
const SPEAKING = 0.01;

export class Meter {
  #context = new AudioContext();
  #source;
  #tap;

  /** @param {MeterOptions} options */
  constructor({ stream, onprocess }) {
    this.#source = this.#context.createMediaStreamSource(stream);
    // Not an AudioWorklet: pages read `event.inputBuffer`.
    this.#tap = this.#context.createScriptProcessor(SAMPLES, 1, 1);
    this.#tap.onaudioprocess = (event) => {
      const samples = event.inputBuffer.getChannelData(0);
      let sum = 0;
      for (const sample of samples) sum += sample * sample;
      const volume = Math.sqrt(sum / samples.length);
      onprocess?.({ volume, status: volume >= SPEAKING ? 'speaking' : 'silent', event });
    };
    this.#source.connect(this.#tap).connect(this.#context.destination);
    void this.#context.resume();
  }

  stop() {
    this.#source.disconnect();
    this.#tap.disconnect();
    this.#tap.onaudioprocess = null;
    if (this.#context.state !== 'closed') void this.#context.close();
  }
}
