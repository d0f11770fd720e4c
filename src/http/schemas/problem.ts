import Type, { type Static } from 'typebox';
import { errorCodes } from '../../errors.js';
import { Bytes, namedSchema, oneOf } from './make.js';

export const Problem = namedSchema(
  'Problem',
  {
    type: Type.String({
      format: 'uri',
      description: 'URI of the error code: `urn:vram-residency:problem:` and the code in lower case with hyphens.',
    }),
    title: Type.String({ description: 'Summary of the error code.' }),
    status: Type.Integer({ minimum: 400, maximum: 599, description: 'HTTP status.' }),
    detail: Type.String({ description: 'The cause of this error.' }),
    instance: Type.String({
      description: '`urn:uuid:` and the id of the request, as in the log and in `X-Request-Id`.',
    }),
    code: oneOf(errorCodes, 'Error code, for programs.'),
    retriable: Type.Boolean({ description: 'Whether the same request can succeed later.' }),
    retry_after_ms: Type.Optional(Type.Integer({ minimum: 1, description: 'Milliseconds to wait before a retry.' })),
    needed_bytes: Type.Optional(Bytes('With `VRAM_OOM`: memory that the request needs, in bytes.')),
    available_bytes: Type.Optional(Bytes('With `VRAM_OOM`: memory that is available, in bytes.')),
    lease_ids: Type.Optional(
      Type.Array(Type.String(), {
        description: 'With `SHARD_LEASED`: up to 100 of the leases that keep the shard from being released.',
      }),
    ),
    rule: Type.Optional(
      Type.String({ description: 'With `FORMAT_INVALID`: the rule of the file format that a file breaks.' }),
    ),
    file: Type.Optional(Type.String({ description: 'With `FORMAT_INVALID`: the file that breaks the rule.' })),
    at: Type.Optional(Bytes('With `FORMAT_INVALID`: the offset in this file, in bytes.')),
  },
  'Problem details (RFC 9457).',
);
export type ProblemJson = Static<typeof Problem>;
