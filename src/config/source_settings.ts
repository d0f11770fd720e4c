import { existingDirectory, filePath, integer } from './parse.js';
import type { Setting } from './setting.js';

/** The settings of remote sources. */
export const sources = {
  sourcesFile: {
    name: 'WORKER_SOURCES_FILE',
    type: filePath,
    unset: 'no remote sources',
    doc: 'The JSON file that lists the remote sources that clients may name. See [The sources file](#the-sources-file).',
  },
  hfCacheDir: {
    name: 'WORKER_HF_CACHE_DIR',
    type: existingDirectory,
    unset: 'no models from the cache',
    doc: 'The Hugging Face cache of this host, such as `~/.cache/huggingface/hub`. Clients may commit models from it. The worker does not follow links that leave it, and does not connect to the hub.',
  },
  sourceConnections: {
    name: 'WORKER_SOURCE_CONNECTIONS',
    type: integer(1, 256),
    default: 8,
    doc: 'The number of connections to one source that may be open at the same time. Each pins 1 MiB of memory, up to 16. At most as many threads read a local file.',
  },
  sourceBytesPerSecond: {
    name: 'WORKER_SOURCE_BYTES_PER_SECOND',
    type: integer(0, Number.MAX_SAFE_INTEGER, 'bytes per second'),
    default: 0,
    doc: 'The maximum rate of all transfers from remote sources together. 0 means no limit.',
  },
  sourceMinBytesPerSecond: {
    name: 'WORKER_SOURCE_MIN_BYTES_PER_SECOND',
    type: integer(0, 1_000_000_000, 'bytes per second'),
    default: 65_536,
    doc: 'The minimum rate of a source, over 30 seconds. If a source is slower, the worker reconnects to it. With 0, it reconnects only to a source that sends nothing.',
  },
  sourceHeaderBytes: {
    name: 'WORKER_SOURCE_HEADER_BYTES',
    type: integer(1024 * 1024, 1024 ** 3, 'bytes'),
    default: 64 * 1024 * 1024,
    doc: 'The maximum length of the header of a model file. The worker reads headers to check the format before it allocates memory.',
  },
  pullFiles: {
    name: 'WORKER_PULL_FILES',
    type: integer(1, 64),
    default: 4,
    doc: 'The number of files of one pull that the worker receives at the same time.',
  },
  pullQueue: {
    name: 'WORKER_PULL_QUEUE',
    type: integer(0, 1024),
    default: 16,
    doc: 'The number of pulls that may wait while four others run. Further pulls get status 429.',
  },
  pullDeadlineSeconds: {
    name: 'WORKER_PULL_DEADLINE_SECONDS',
    type: integer(1, 2_000_000, 'seconds'),
    default: 14_400,
    doc: 'The time limit of a commit from a source or of a pull, with all waits and retries. A pull can ask for less.',
  },
} satisfies Record<string, Setting>;
