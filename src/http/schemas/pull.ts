import Type, { type Static } from 'typebox';
import { pullFileStates } from '../../pulls/pull_file.js';
import { pullStates } from '../../pulls/pull_phase.js';
import { digestRules, formatChecks } from '../../pulls/pull_request.js';
import { maxModelRefChars, maxShards } from '../../residency/limits.js';
import { ExpectedDigest, ExpectedTreeDigest, GpuDevice, ReservationId, ShardId } from './common.js';
import { maxBytes } from './limits.js';
import {
  Bytes,
  Count,
  Instant,
  NullableInstant,
  namedSchema,
  oneOf,
  QueryInteger,
  strictObject,
  visibleText,
} from './make.js';
import { Problem } from './problem.js';
import { nullableRefTo, refTo } from './ref.js';
import { Source } from './source.js';

const PullId = Type.String({
  pattern: '^[A-Za-z0-9_-]{1,64}$',
  description: 'Id of the pull, which the client chooses: 1 to 64 letters, digits, hyphens and underscores.',
});

/** Digests by the path of a file. */
const digestsByPath = (digest: object, description: string) =>
  Type.Unsafe<Record<string, string>>({
    type: 'object',
    additionalProperties: digest,
    maxProperties: maxShards,
    description,
  });

export const PullBody = namedSchema(
  'PullRequest',
  {
    pull_id: PullId,
    source: refTo(Source),
    model_ref: Type.Optional(
      visibleText(maxModelRefChars, 'Name of the model in handles. Default: the source with its resolved revision.'),
    ),
    shard_id_prefix: Type.String({
      pattern: '^[A-Za-z0-9-]{1,251}$',
      description: 'The shards are named `<shard_id_prefix>-<index>`.',
    }),
    reservation_id: Type.Optional(ReservationId),
    gpu_devices: Type.Optional(
      Type.Array(GpuDevice, {
        minItems: 1,
        maxItems: maxShards,
        uniqueItems: true,
        description: 'Indexes of the GPUs to use. Default: all.',
      }),
    ),
    expected: Type.Optional(
      digestsByPath(ExpectedDigest, 'The expected SHA-256 of files, by their paths in the source.'),
    ),
    expected_tree: Type.Optional(
      digestsByPath(ExpectedTreeDigest, 'The expected fs-verity digests of files, by their paths in the source.'),
    ),
    digest: Type.Optional(
      oneOf(
        digestRules,
        '`require`: each file needs an expected digest from the client or the source. `allow`: it does not, if the ' +
          'settings of the source allow that. Default: `require`.',
      ),
    ),
    format_check: Type.Optional(
      oneOf(
        formatChecks,
        '`strict`: all files must be valid GGUF or safetensors, and sets of files complete. `basic`: files of these ' +
          'formats must be valid. `off`: no check. Default: `strict`.',
      ),
    ),
    flat_digest: Type.Optional(
      Type.Boolean({
        description: 'False skips the serial SHA-256. Each file then needs an `expected_tree` digest. Default: true.',
      }),
    ),
    bytes_per_second: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: maxBytes,
        description: 'Maximum rate of the pull from a remote source, in bytes per second. Default: 0, no limit.',
      }),
    ),
    deadline_seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 2_000_000,
        description:
          'Time limit of the whole pull in seconds, with the time in the queue. Default, and maximum: ' +
          '`WORKER_PULL_DEADLINE_SECONDS`.',
      }),
    ),
  },
  'A whole model to commit from a source.',
);
export type PullFields = Static<typeof PullBody>;

const PullFile = namedSchema(
  'PullFile',
  {
    path: Type.String({ description: 'Path of the file in the source.' }),
    shard_id: ShardId,
    state: oneOf(
      pullFileStates,
      '`sealing`: the bytes are on the GPU and proven, and the other files are not. `failed`: the pull failed because of ' +
        'this file. `undone`: it failed or was canceled for another reason.',
    ),
    bytes: Bytes('Length of the file in bytes.'),
    received_bytes: Bytes('Number of bytes received. Never falls, although a file can be fetched twice.'),
    attempts: Count('Connections that were tried. 0 if the same shard was already sealed.'),
    last_problem: nullableRefTo(Problem, 'Why the worker last requested the file again. Null if it did not.'),
  },
  'A file of a pull.',
);
export type PullFileJson = Static<typeof PullFile>;

const ResolvedPull = namedSchema(
  'ResolvedPull',
  {
    model_ref: Type.String({ description: 'The source with its resolved revision.' }),
    immutable: Type.Boolean({ description: 'Whether this always names the same bytes.' }),
    skipped: Type.Array(Type.String(), { description: 'Files that are not shards.' }),
  },
  'The model as the source has it.',
);

export const pullSummaryFields = {
  pull_id: PullId,
  state: oneOf(
    pullStates,
    '`queued`: waits for other pulls. `resolving`: asks the source for the files. `inspecting`: reads their headers. ' +
      '`receiving`: reads their bytes. `proving`: all bytes are on the GPU. `sealed`, `failed` and `cancelled` are final.',
  ),
  model_ref: Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description: 'Name of the model in handles. Null until it is known.',
  }),
  shard_id_prefix: Type.String({ description: 'The shards are named `<shard_id_prefix>-<index>`.' }),
  bytes: Bytes('Length of all files in bytes. 0 until it is known.'),
  received_bytes: Bytes('Number of bytes received. Never falls.'),
  fetched_bytes: Bytes('Number of bytes received for the files. A file that is fetched twice counts twice.'),
  bytes_per_second: Bytes('Rate over the last 10 seconds, in bytes per second.'),
  remaining_seconds: Type.Unsafe<number | null>({
    type: ['integer', 'null'],
    minimum: 0,
    description: 'Time in seconds until all bytes are received, at this rate. Null if it is unknown.',
  }),
  created_at: Instant('When the pull was requested.'),
  ended_at: NullableInstant('When the pull ended. Null before that.'),
  problem: nullableRefTo(Problem, 'Why the pull failed or was canceled. Null otherwise.'),
};

const PullSummary = namedSchema('PullSummary', pullSummaryFields, 'A pull, without its files.');
export type PullSummaryJson = Static<typeof PullSummary>;

export const Pull = namedSchema(
  'Pull',
  {
    ...pullSummaryFields,
    last_problem: nullableRefTo(
      Problem,
      'Why the worker last requested the list of files or a header again. Null if it did not.',
    ),
    resolved: nullableRefTo(ResolvedPull, 'The model as the source has it. Null until it is known.'),
    files: Type.Array(refTo(PullFile), {
      description: 'In the order of the shard indexes. Empty until they are known.',
    }),
  },
  'The pull of a model: all its files become shards, or none.',
);
export type PullJson = Static<typeof Pull>;

export const PullList = namedSchema(
  'PullList',
  {
    pulls: Type.Array(refTo(PullSummary), { description: 'Ordered by `pull_id`.' }),
    next_cursor: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'Send it as `cursor` to get the next page. Null on the last page.',
    }),
  },
  'One page of pulls.',
);
export type PullListJson = Static<typeof PullList>;

export const pullSchemas = [PullBody, PullFile, ResolvedPull, PullSummary, Pull, PullList] as const;

export const pullParams = strictObject({ pull_id: { ...PullId, examples: ['llama-2026-01'] } });

export type PullParams = Static<typeof pullParams>;

export const pullsQuery = strictObject({
  limit: Type.Optional(QueryInteger({ minimum: 1, maximum: 1000 }, 'Pulls per page. Default: 100.')),
  cursor: Type.Optional(
    Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$', description: 'The `next_cursor` of the previous page.' }),
  ),
});

export const pullQuery = strictObject({
  wait_seconds: Type.Optional({
    ...QueryInteger(
      { minimum: 1, maximum: 300 },
      'Wait at most this many seconds. With `If-None-Match`, wait until the pull changes. Without it, wait until it has ' +
        'ended.',
    ),
    examples: [30],
  }),
});
