// @ts-check
/** How loud the own microphone is, by the page's own ears, so that it works before any call. */

export class Meter {
  #element;
  /** @type {AudioContext | null} */
  #context = null;
  #timer = 0;

  /** @param {HTMLMeterElement} element 0 to 100 */
  constructor(element) {
    this.#element = element;
  }

  /** @param {MediaStreamTrack | null} track null: stop */
  listen(track) {
    this.stop();
    if (!track || typeof AudioContext !== 'function') return;
    const context = new AudioContext();
    this.#context = context;
    const ear = new AnalyserNode(context, { fftSize: 1024 });
    context.createMediaStreamSource(new MediaStream([track])).connect(ear);
    const samples = new Float32Array(ear.fftSize);
    this.#timer = setInterval(() => {
      // Without a gesture the browser keeps it asleep.
      if (context.state === 'suspended' && navigator.userActivation?.hasBeenActive !== false) void context.resume();
      ear.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      // -60 dB is silence, -10 dB is loud.
      this.#element.value = Math.max(0, Math.min(100, 2 * (10 * Math.log10(power + 1e-9) + 60)));
    }, 100);
  }

  stop() {
    clearInterval(this.#timer);
    void this.#context?.close();
    this.#context = null;
    this.#element.value = 0;
  }
}
