// @ts-check
/**
 * Where a recording is written: a folder that the person has chosen, else the browser's private files, else memory.
 * The first two stand on the disk from the beginning; from the last two a file goes to the downloads when it is whole.
 */

/**
 * @typedef {{name: string, bytes: number, file: Blob | null}} Written `file`: to be downloaded; null: it is in its folder
 * @typedef {{
 *   name: string, most: number, write: (data: Blob | BufferSource) => Promise<void>,
 *   patch: (at: number, data: Uint8Array) => Promise<void>, close: () => Promise<Written>, drop: () => Promise<void>,
 * }} Sink `most`: bytes that it can take
 */

const MEMORY_BYTES = 256 * 2 ** 20;
const DISK_BYTES = 3.5 * 2 ** 30;
const PRIVATE = 'recordings';
/** Private files of earlier recordings are kept for so long: their download may still read them. */
const KEEP_MS = 10 * 60_000;

/**
 * @param {string} name
 * @param {FileSystemDirectoryHandle | null} folder
 * @returns {Promise<Sink>}
 */
export async function openSink(name, folder) {
  if (folder) return diskSink(folder, await freeName(folder, name), false);
  try {
    const root = await navigator.storage.getDirectory();
    const place = await root.getDirectoryHandle(PRIVATE, { create: true });
    await forgetOld(place);
    return await diskSink(place, await freeName(place, name), true);
  } catch {
    return memorySink(name); // an insecure page, a private window, a browser without
  }
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} name
 * @param {boolean} hidden the person cannot see the folder: hand the file out
 * @returns {Promise<Sink>}
 */
async function diskSink(folder, name, hidden) {
  const handle = await folder.getFileHandle(name, { create: true });
  const stream = await handle.createWritable();
  return {
    name,
    most: DISK_BYTES,
    write: (data) => stream.write(/** @type {any} */ (data)),
    patch: (at, data) => stream.write({ type: 'write', position: at, data: /** @type {any} */ (data) }),
    close: async () => {
      await stream.close();
      const file = await handle.getFile();
      return { name, bytes: file.size, file: hidden ? file : null };
    },
    drop: async () => {
      await stream.abort().catch(() => undefined);
      await folder.removeEntry(name).catch(() => undefined);
    },
  };
}

/** @param {string} name @returns {Sink} */
function memorySink(name) {
  /** @type {(Blob | BufferSource)[]} */
  let parts = [];
  return {
    name,
    most: MEMORY_BYTES,
    write: async (data) => {
      parts.push(data);
    },
    patch: async (at, data) => {
      const whole = new Blob(/** @type {any} */ (parts));
      parts = [whole.slice(0, at), /** @type {any} */ (data), whole.slice(at + data.length)];
    },
    close: async () => {
      const file = new Blob(/** @type {any} */ (parts));
      parts = [];
      return { name, bytes: file.size, file };
    },
    drop: async () => {
      parts = [];
    },
  };
}

/** @param {FileSystemDirectoryHandle} folder @param {string} name @returns {Promise<string>} not in use there */
async function freeName(folder, name) {
  const dot = name.lastIndexOf('.');
  for (let number = 1; ; number++) {
    const tried = number === 1 ? name : `${name.slice(0, dot)}-${number}${name.slice(dot)}`;
    try {
      await folder.getFileHandle(tried);
    } catch (error) {
      if (/** @type {DOMException} */ (error).name === 'NotFoundError') return tried;
      throw error;
    }
  }
}

/** @param {FileSystemDirectoryHandle} place */
async function forgetOld(place) {
  for await (const [name, handle] of /** @type {any} */ (place).entries()) {
    const file = await handle.getFile().catch(() => null);
    if (file && Date.now() - file.lastModified > KEEP_MS) await place.removeEntry(name).catch(() => undefined);
  }
}

/**
 * Hand a file to the browser's downloads.
 * @param {Blob} file
 * @param {string} name
 */
export function download(file, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
