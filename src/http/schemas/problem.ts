import Type, { type Static } from 'typebox';
import { errorCodes } from '../../errors.js';
import { Bytes, namedSchema, oneOf } from './make.js';

export const Problem = namedSchema(
  'Problem',
  {
    type: Type.String({ format: 'uri', description: 'A name for the kind of problem.' }),
    title: Type.String(),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    detail: Type.String({ description: 'What was wrong with this request.' }),
    instance: Type.String({ description: "The request's id, as it stands in the logs." }),
    code: oneOf(errorCodes, 'The same as `type`, for programs.'),
    retriable: Type.Boolean({ description: 'Whether the same request can succeed later.' }),
    retry_after_ms: Type.Optional(Type.Integer({ minimum: 1, description: 'Where waiting helps: how long.' })),
    needed_bytes: Type.Optional(Bytes('What was asked for.')),
    available_bytes: Type.Optional(Bytes('What there is.')),
  },
  'RFC 9457 problem details.',
);
export type ProblemView = Static<typeof Problem>;
