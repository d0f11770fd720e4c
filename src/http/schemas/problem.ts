import Type, { type Static } from 'typebox';
import { errorCodes } from '../../errors.js';
import { Bytes, namedSchema, oneOf } from './make.js';

export const Problem = namedSchema(
  'Problem',
  {
    type: Type.String({ format: 'uri', description: 'URI of the error code.' }),
    title: Type.String({ description: 'Summary of the error code.' }),
    status: Type.Integer({ minimum: 400, maximum: 599, description: 'HTTP status.' }),
    detail: Type.String({ description: 'The cause of this error.' }),
    instance: Type.String({ description: "The request's id, as in the logs." }),
    code: oneOf(errorCodes, 'Error code, for programs.'),
    retriable: Type.Boolean({ description: 'Whether the same request can succeed later.' }),
    retry_after_ms: Type.Optional(Type.Integer({ minimum: 1, description: 'Milliseconds to wait before a retry.' })),
    needed_bytes: Type.Optional(Bytes('Memory that the request needs.')),
    available_bytes: Type.Optional(Bytes('Memory that is available.')),
    lease_ids: Type.Optional(
      Type.Array(Type.String(), { description: 'Up to 100 of the leases that keep the shard from being released.' }),
    ),
    rule: Type.Optional(Type.String({ description: 'The rule of the file format that a file breaks.' })),
    file: Type.Optional(Type.String({ description: 'The file that breaks the rule.' })),
    at: Type.Optional(Bytes('The offset in this file.')),
  },
  'Problem details (RFC 9457).',
);
export type ProblemJson = Static<typeof Problem>;
