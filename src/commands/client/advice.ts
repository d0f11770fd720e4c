/** What to do about an error of the worker, if its detail does not say it. By code. */
const advice: Readonly<Record<string, string>> = {
  FORBIDDEN: 'Use the API token: the read token cannot change anything.',
  SOURCE_FORBIDDEN: "Check the worker's WORKER_SOURCES_FILE, or name another source with --name.",
  SOURCE_NOT_FOUND: 'Check the spelling of the source, its revision and its files.',
  SOURCE_AUTH_FAILED: "Check the credentials of the source in the worker's WORKER_SOURCES_FILE.",
  SOURCE_UNSUPPORTED: 'docs/sources.md lists the supported sources.',
  SOURCE_CHANGED: 'Run the command again.',
  SOURCE_UNAVAILABLE: 'Run the command again later.',
  SOURCE_TIMEOUT: 'Run the command again later.',
  FORMAT_INVALID: 'docs/formats.md explains the rule. Download the file again, or report it to its author.',
  DIGEST_MISMATCH: 'The bytes are not those that were expected. Check the digest and the file.',
  PULL_CONFLICT: 'Use another --shard-prefix, or release the shards with vram-worker rm.',
  SHARD_CONFLICT: 'List the shards with vram-worker ls. Release one with vram-worker rm, or use another name.',
  SHARD_BUSY: 'Wait until the shard is received or released.',
  SHARD_LEASED: 'Stop the processes that attached the shard, or use --force.',
  VRAM_OOM: 'Release shards with vram-worker rm, or allow more GPUs.',
  MODEL_TOO_LARGE: "Raise the worker's WORKER_MAX_MODEL_BYTES.",
  TOO_MANY_PULLS: 'Wait until a pull ends, then run the command again.',
  TOO_MANY_COMMITS: 'Run the command again later.',
  RATE_LIMITED: 'Run the command again later.',
  STARTING: 'Wait until the worker has started.',
  DRAINING: 'Wait until the next worker has started.',
  AUDIT_UNAVAILABLE: "Check the disk of the worker's audit log and manifest.",
  MODEL_DIR_UNAVAILABLE: "Check the worker's WORKER_MODEL_DIR or WORKER_HF_CACHE_DIR.",
  CUDA_ERROR: "Check the worker's log.",
  INTERNAL: "Check the worker's log.",
};

/** The codes that have an advice. */
export const advisedCodes = Object.keys(advice);

/** One sentence or two; undefined if the detail says enough. */
export const adviceFor = (code: string): string | undefined => (Object.hasOwn(advice, code) ? advice[code] : undefined);
