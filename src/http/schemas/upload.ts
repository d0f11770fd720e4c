import Type from 'typebox';
import { strictObject } from './make.js';
import { noContent, textHeader } from './response.js';

export const uploadParams = strictObject({
  upload_id: Type.String({
    pattern: '^[A-Za-z0-9-]{1,64}$',
    description: 'Id of the upload.',
    examples: ['0b6c1f0e-3a94-4e0b-9a3c-1d2e3f405162'],
  }),
});

const count = (description: string) => ({ type: 'integer', minimum: 0, description });

const tusResumable = { 'Tus-Resumable': { type: 'string', enum: ['1.0.0'], description: 'The version of tus.' } };
const offset = { 'Upload-Offset': count('Bytes of the shard that the worker has received.') };
const expires = {
  'Upload-Expires': textHeader('When the worker ends the upload if its client sends nothing, as an HTTP date.'),
};
const shard = { Location: textHeader('The path of the sealed shard. Absent before the seal.') };

const headed = (description: string, headers: object) => ({ ...noContent(description), headers });

/** The responses of each operation. */
export const uploadResponses = {
  capabilities: {
    204: headed('What the worker supports.', {
      'Tus-Version': textHeader('The supported version, `1.0.0`.'),
      'Tus-Extension': textHeader('The supported extensions, separated by commas.'),
      'Tus-Max-Size': count('The largest shard in bytes, `WORKER_MAX_MODEL_BYTES`.'),
    }),
  },
  created: {
    201: headed('The upload exists.', { Location: textHeader('The path of the upload.'), ...offset, ...expires }),
  },
  status: {
    200: headed('The state of the upload.', {
      ...offset,
      'Upload-Length': count('The length of the shard in bytes.'),
      ...expires,
      ...shard,
    }),
  },
  sent: {
    204: headed('The bytes arrived. After the last byte, the shard is sealed.', { ...offset, ...expires, ...shard }),
  },
  ended: { 204: noContent('The upload no longer exists. A sealed shard stays.') },
};

/** The headers of requests, for the OpenAPI document. The routes check them in the order of all refusals. */
export const requestHeaders = {
  any: { type: 'object', required: ['Tus-Resumable'], properties: tusResumable },
  create: {
    type: 'object',
    required: ['Tus-Resumable', 'Upload-Length'],
    properties: {
      ...tusResumable,
      'Upload-Length': { type: 'integer', minimum: 1, description: 'Exact length of the shard in bytes.' },
      'Upload-Metadata': textHeader(
        'Fields of the query as pairs of a key and a value in base64, separated by commas.',
      ),
    },
  },
  send: {
    type: 'object',
    required: ['Tus-Resumable', 'Upload-Offset'],
    properties: { ...tusResumable, 'Upload-Offset': count('Where the body begins: the offset of the upload.') },
  },
};
