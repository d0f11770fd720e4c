import { sealAlgorithms } from '../seal/key.js';
import { attach } from './attach_settings.js';
import { keeper } from './keeper_settings.js';
import { network } from './network_settings.js';
import {
  deviceIndexes,
  existingDirectory,
  existingFile,
  filePath,
  givenPath,
  integer,
  matching,
  oneOf,
  text,
} from './parse.js';
import type { Setting, ValueOf } from './setting.js';
import { sources } from './source_settings.js';
import { defaultWorkerId, workerIdPattern } from './worker_id.js';

const mebibyte = 1024 ** 2;
const gibibyte = 1024 ** 3;

const identity = {
  workerId: {
    name: 'WORKER_ID',
    type: matching(workerIdPattern, '1 to 128 characters of A-Z a-z 0-9 . _ : -'),
    default: defaultWorkerId,
    unset: 'the host name, or a valid id derived from it',
    doc: 'The name of the worker, and the `iss` claim of its handles.',
  },
  apiTokenFile: {
    name: 'WORKER_API_TOKEN_FILE',
    type: filePath,
    unset: 'the systemd credential `worker-token`, or with `--simulate` a new token',
    doc: 'The file of the API token, a bearer token that may use every route.',
  },
  readTokenFile: {
    name: 'WORKER_READ_TOKEN_FILE',
    type: filePath,
    unset: 'no read token',
    doc: 'The file of the read token, a bearer token for clients that poll.',
  },
  sealAlgorithm: {
    name: 'WORKER_SEAL_ALG',
    type: oneOf(sealAlgorithms),
    default: 'HS256',
    doc: 'The algorithm that signs handles.',
  },
  sealKeyFile: {
    name: 'WORKER_SEAL_KEY_FILE',
    type: filePath,
    unset: 'the file of the API token',
    doc: 'The file of the seal key: a secret for HS256, a private key for Ed25519.',
  },
  keyGraceSeconds: {
    name: 'WORKER_KEY_GRACE_SECONDS',
    type: integer(0, 604_800, 'seconds'),
    default: 3600,
    doc: 'How long handles of the previous seal key stay valid after a rotation.',
  },
} satisfies Record<string, Setting>;

const device = {
  gpuDevices: {
    name: 'WORKER_GPU_DEVICES',
    type: deviceIndexes,
    unset: 'all devices',
    doc: 'The GPUs that the worker uses. It does not open the others.',
  },
  cudaDriver: {
    name: 'WORKER_CUDA_DRIVER',
    type: text('a library that exports the CUDA driver API'),
    unset: '`libcuda.so.1`',
    doc: 'The CUDA driver library. Not allowed with `--simulate`.',
  },
  cudaKernels: {
    name: 'WORKER_CUDA_KERNELS',
    type: existingFile,
    unset: '`cuda/build/vram_kernels.fatbin`',
    doc: 'The module of CUDA kernels: PTX, cubin or fatbin. Not allowed with `--simulate`.',
  },
  driverTimeoutSeconds: {
    name: 'WORKER_DRIVER_TIMEOUT_SECONDS',
    type: integer(1, 3600, 'seconds'),
    default: 60,
    doc: 'The time limit of a driver call. After it, the worker exits.',
  },
} satisfies Record<string, Setting>;

const commits = {
  modelDir: {
    name: 'WORKER_MODEL_DIR',
    type: existingDirectory,
    unset: 'no commits of local files',
    doc: 'The directory of the local files that clients may commit by reference (`file`).',
  },
  fileTimeoutSeconds: {
    name: 'WORKER_FILE_TIMEOUT_SECONDS',
    type: integer(1, 3600, 'seconds'),
    default: 30,
    doc: 'The time limit of file system calls: an open or a read of 512 KiB in the model directory, or the read of a secret. After it, a commit fails with `MODEL_DIR_UNAVAILABLE`, a reload keeps the secrets, and a start ends.',
  },
  maxModelBytes: {
    name: 'WORKER_MAX_MODEL_BYTES',
    type: integer(1, Number.MAX_SAFE_INTEGER, 'bytes'),
    default: 100 * gibibyte,
    doc: 'The maximum size of a model in a plan or a pull, and of a shard in a commit.',
  },
  commitSlots: {
    name: 'WORKER_COMMIT_SLOTS',
    type: integer(1, 256),
    default: 32,
    doc: 'The number of commits that may run at the same time.',
  },
  commitQueue: {
    name: 'WORKER_COMMIT_QUEUE',
    type: integer(0, 65_536),
    default: 256,
    doc: 'The number of admitted commits that may wait for a slot. Further commits get status 429.',
  },
} satisfies Record<string, Setting>;

const operation = {
  scrubSeconds: {
    name: 'WORKER_SCRUB_SECONDS',
    type: integer(0, 2_000_000, 'seconds'),
    default: 3600,
    doc: 'The period of the background verification of each shard. 0 turns it off.',
  },
  scrubBytesPerSecond: {
    name: 'WORKER_SCRUB_BYTES_PER_SECOND',
    type: integer(1, Number.MAX_SAFE_INTEGER, 'bytes per second'),
    default: gibibyte,
    doc: 'The maximum rate of background verification.',
  },
  manifest: {
    name: 'WORKER_MANIFEST',
    type: givenPath,
    unset: 'no restore',
    doc: 'The manifest: the file that lists the shards that a restart can restore.',
  },
  auditLog: {
    name: 'WORKER_AUDIT_LOG',
    type: givenPath,
    unset: 'no audit log',
    doc: 'The file of the audit log.',
  },
  auditMaxBytes: {
    name: 'WORKER_AUDIT_MAX_BYTES',
    type: integer(4096, Number.MAX_SAFE_INTEGER, 'bytes'),
    default: 64 * mebibyte,
    doc: 'The size at which the worker rotates the audit log.',
  },
  nodeFeaturesFile: {
    name: 'WORKER_NODE_FEATURES_FILE',
    type: filePath,
    unset: 'no labels',
    doc:
      'The file of node labels for Node Feature Discovery on Kubernetes: one for each ready model, up to 64. See ' +
      '[Kubernetes](kubernetes.md#labels).',
  },
  drainSeconds: {
    name: 'WORKER_DRAIN_SECONDS',
    type: integer(1, 3600, 'seconds'),
    default: 30,
    doc: 'The maximum time from SIGTERM or SIGINT to exit, after the shutdown delay.',
  },
  shutdownDelaySeconds: {
    name: 'WORKER_SHUTDOWN_DELAY_SECONDS',
    type: integer(0, 3600, 'seconds'),
    default: 0,
    doc: 'The time after SIGTERM or SIGINT for which `/readyz` is 503 and the worker still accepts work.',
  },
  logLevel: {
    name: 'WORKER_LOG_LEVEL',
    type: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
    doc: 'The lowest level of the log lines that the worker writes.',
  },
} satisfies Record<string, Setting>;

/** The settings in the order of the documents, by the heading of their section. */
export const sections: Readonly<Record<string, Readonly<Record<string, Setting>>>> = {
  'Network and TLS': network,
  'Identity and secrets': identity,
  'GPU and driver': device,
  Commits: commits,
  'Remote sources': sources,
  Attach: attach,
  'Restart without a reload': keeper,
  Operation: operation,
};

/** Every setting, by the name of its value in `Config`. */
export const settings = {
  ...network,
  ...identity,
  ...device,
  ...commits,
  ...sources,
  ...attach,
  ...keeper,
  ...operation,
};

/** The value of each setting. Sizes are in bytes, times in seconds. */
export type SettingValues = { readonly [Key in keyof typeof settings]: ValueOf<(typeof settings)[Key]> };
