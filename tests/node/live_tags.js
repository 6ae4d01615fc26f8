/**
 * What a live-pusher or live-player does natively, done by ffmpeg: it pushes or plays over real RTMP, reports the codes
 * that the phone's tag reports, and tries again three times when the connection is lost.
 */
const { spawn } = require('child_process');

const RETRIES = 3;
const FLV = ['-f', 'flv', '-flvflags', 'no_duration_filesize'];
const PROBE = ['-probesize', '200k', '-analyzeduration', '1500000'];

/**
 * A live-pusher that sends the file `file()` over and over to `url()`, its packets unchanged. `say(code)` takes the tag's
 * codes, `running` collects the children, `retryMs` is the pause before a new attempt (3 s on a phone).
 */
const pusher = ({ url, file, ...common }) =>
  new Tag({
    ...common,
    argv: () => ['-re', '-stream_loop', '-1', '-i', file(), '-c', 'copy', ...FLV, url()],
    sign: 'Output #0',
    before: () => [],
    began: [1005, 1003, 1007, 1008, 1001, 1002],
    flows: [],
    again: 1102,
    gaveUp: -1307,
  });

/** A live-player that writes what `url()` gives to the file `path()`, asked anew at each attempt. `mode()`: RTC or live. */
const player = ({ url, path, mode, ...common }) =>
  new Tag({
    ...common,
    // Written as it comes: one that waits for more when it is stopped may have to be killed.
    argv: () => [...(url().startsWith('rtmp') ? ['-rtmp_live', 'live'] : []), ...PROBE, '-i', url(), '-c', 'copy', ...FLV,
      '-flush_packets', '1', '-y', path()],
    sign: 'Input #0',
    // As on phones: an address without the vendor's three parameters has no accelerated one.
    before: () => (mode() === 'RTC' ? [-2302] : []),
    began: [2001, 2002],
    flows: [2003, 2004],
    again: 2103,
    gaveUp: -2301,
  }); // prettier-ignore

/** `sign` is what ffmpeg says when it is connected (`began`); `flows` are the codes of the first bytes. */
class Tag {
  constructor({ running, retryMs, ...options }) {
    Object.assign(this, { running, retryMs, options, process: null, wanted: false, failures: 0 });
    /** How much its present attempt has pushed, or received and written down. */
    this.seconds = 0;
  }

  start() {
    if (this.wanted) return;
    this.wanted = true;
    this.failures = 0;
    this.options.before().forEach(this.options.say);
    this.attempt();
  }

  play() {
    this.start();
  }

  attempt() {
    const argv = ['-hide_banner', '-nostdin', '-loglevel', 'info', '-stats_period', '0.1', '-progress', 'pipe:1'];
    const child = spawn('ffmpeg', [...argv, ...this.options.argv()], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    this.seconds = 0;
    this.running.add(child);
    let words = '';
    let began = false;
    let flows = false;
    child.stderr.on('data', (piece) => {
      words = (words + piece).slice(-4000);
      if (!began && words.includes(this.options.sign)) {
        began = true;
        this.tell(child, this.options.began);
      }
    });
    child.stdout.on('data', (piece) => {
      const [, written] = /.*out_time_us=(\d+)/s.exec(String(piece)) || [];
      if (written) this.seconds = Number(written) / 1e6;
      if (flows || !/total_size=[1-9]/.test(String(piece))) return;
      flows = true;
      this.failures = 0;
      this.tell(child, this.options.flows);
    });
    child.on('exit', () => {
      this.running.delete(child);
      if (child !== this.process || !this.wanted) return;
      this.failures += 1;
      if (this.failures > RETRIES) {
        this.wanted = false;
        this.options.say(this.options.gaveUp);
      } else {
        this.options.say(this.options.again);
        this.timer = setTimeout(() => this.attempt(), this.retryMs);
      }
    });
  }

  tell(child, codes) {
    if (child === this.process && this.wanted) codes.forEach(this.options.say);
  }

  stop() {
    this.wanted = false;
    clearTimeout(this.timer);
    const child = this.process;
    this.process = null;
    if (!child || child.exitCode !== null) return;
    child.kill('SIGINT');
    // A second one reaches an ffmpeg that waits for more to read.
    const again = setTimeout(() => child.kill('SIGINT'), 150);
    const hard = setTimeout(() => child.kill('SIGKILL'), 2000);
    child.on('exit', () => [again, hard].forEach(clearTimeout));
  }

  /** The tag has left the page. */
  gone() {
    this.stop();
  }

  pause() {}

  resume() {}

  switchCamera() {}
}

module.exports = { player, pusher };
