import Type, { type Static, type TProperties } from 'typebox';

const variant = <P extends TProperties>(properties: P, description: string) =>
  Type.Object(properties, { additionalProperties: false, description });

const name = Type.Optional(
  Type.String({
    pattern: '^[a-z0-9][a-z0-9._-]{0,63}$',
    description: 'The configured source. Default: the only one of this type, or the one that covers the host.',
  }),
);
const text = (maxLength: number, description: string) =>
  Type.String({ pattern: `^[^\\p{Cc}\\p{Cs}]{1,${maxLength}}$`, description });
const repository = (description: string) =>
  Type.String({ pattern: '^[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*$', maxLength: 255, description });
const files = Type.Optional(
  Type.Array(text(1024, 'A path in the repository. `*` matches any characters but a slash.'), {
    minItems: 1,
    maxItems: 4096,
    description: 'The files of the model. Default: all that are shards.',
  }),
);
const quantization = Type.Optional(
  Type.String({
    pattern: '^[A-Za-z0-9._-]{1,64}$',
    description:
      'The GGUF files of this quantization, such as `Q4_K_M`: those that have it in their names as a whole word, in upper or lower case. Excludes `files`.',
  }),
);
const revision = (description: string) => Type.Optional(text(255, description));

export const FileReference = variant(
  { type: Type.Literal('file'), path: text(4096, "Path relative to the worker's model directory.") },
  'A file of the model directory.',
);
export const HttpReference = variant(
  { type: Type.Literal('http'), name, url: text(8192, 'The URL. It must be below a prefix of a configured source.') },
  'A file of an HTTP server, or an index of safetensors files.',
);
export const HfReference = variant(
  {
    type: Type.Literal('hf'),
    name,
    repo: repository('The repository, such as `org/name`.'),
    revision: revision('A branch, tag or commit. Default: `main`.'),
    files,
    quantization,
  },
  'A repository of a Hugging Face hub.',
);
export const HfCacheReference = variant(
  {
    type: Type.Literal('hf_cache'),
    repo: repository('The repository, such as `org/name`.'),
    revision: revision('A ref or commit in the cache. Default: `main`.'),
    files,
    quantization,
  },
  'A repository in the Hugging Face cache of this host.',
);
export const OciReference = variant(
  {
    type: Type.Literal('oci'),
    name,
    registry: Type.Optional(text(255, 'The host of the registry, which selects the source if `name` does not.')),
    repository: repository('The repository, such as `models/llama`.'),
    reference: revision('A tag or `sha256:` digest of a manifest. Default: `latest`.'),
    files,
  },
  'An artifact of an OCI registry.',
);
export const S3Reference = variant(
  {
    type: Type.Literal('s3'),
    name,
    bucket: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$', description: 'The bucket.' }),
    key: text(1024, 'The key of an object, or a prefix that ends in a slash: all objects below it.'),
    version_id: Type.Optional(text(1024, 'The version of the object. Default: the current one.')),
  },
  'An object of an S3 bucket, or the objects below a prefix.',
);

/** Where a model is. `type` tells the forms apart. */
export const SourceReference = Type.Union([
  FileReference,
  HttpReference,
  HfReference,
  HfCacheReference,
  OciReference,
  S3Reference,
]);

export type FileReference = Static<typeof FileReference>;
export type HttpReference = Static<typeof HttpReference>;
export type HfReference = Static<typeof HfReference>;
export type HfCacheReference = Static<typeof HfCacheReference>;
export type OciReference = Static<typeof OciReference>;
export type S3Reference = Static<typeof S3Reference>;
export type SourceReference = Static<typeof SourceReference>;
