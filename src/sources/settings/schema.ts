import Type, { type Static, type TProperties } from 'typebox';
import { hostPatternForm } from '../egress/host_pattern.js';

const strict = <P extends TProperties>(properties: P, description: string) =>
  Type.Object(properties, { additionalProperties: false, description });
const absolutePath = (description: string) => Type.String({ pattern: '^/', maxLength: 4096, description });
const list = (pattern: string, description: string) =>
  Type.Array(Type.String({ pattern, maxLength: 1024 }), { minItems: 1, maxItems: 256, description });
const word = <const W extends readonly string[]>(words: W, description: string) =>
  Type.Unsafe<W[number]>({ type: 'string', enum: [...words], description });

const hosts = (description: string) => list(hostPatternForm, description);
/** One slash, or none: `org/name`, `org/*`, `*`. */
const namePatterns = (description: string) => list('^[A-Za-z0-9._*-]+(?:/[A-Za-z0-9._*-]+)*$', description);

const common = {
  name: Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,63}$', description: 'The name that requests give.' }),
  redirect_hosts: Type.Optional(
    hosts('Other hosts that redirects may lead to. `*.` matches any host below a name; `*` part of a label.'),
  ),
  addresses: Type.Optional(
    list('^[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?$', 'Special-purpose ranges, such as 10.0.0.0/8, that this source may use.'),
  ),
  ca_file: Type.Optional(absolutePath('CA certificates in PEM, which replace those of Node.')),
};
/** For sources whose files may have no digest. The weights of a hub or a registry always have one. */
const digest = Type.Optional(
  word(['require', 'allow'], 'Whether a file without a digest may be committed. Default: `require`.'),
);
const endpoint = (description: string) => Type.String({ pattern: '^https?://', maxLength: 2048, description });
const revisions = Type.Optional(word(['any', 'commit'], 'With `commit`, only pinned revisions. Default: `any`.'));

export const HttpSettings = strict(
  {
    ...common,
    type: Type.Literal('http'),
    prefixes: list('^https?://[^?#]*/$', 'The URLs below which files may be read. Each ends in a slash.'),
    token_file: Type.Optional(absolutePath('A bearer token. All prefixes must then have the same origin.')),
    digest,
  },
  'HTTP servers.',
);

export const HfSettings = strict(
  {
    ...common,
    type: Type.Literal('hf'),
    endpoint: endpoint('The hub or a mirror.'),
    token_file: Type.Optional(absolutePath('The token of the hub.')),
    repos: Type.Optional(namePatterns('The repositories that may be read. Unset: all.')),
    revisions,
  },
  'A Hugging Face hub.',
);

export const OciSettings = strict(
  {
    ...common,
    type: Type.Literal('oci'),
    endpoint: endpoint('The registry.'),
    docker_config_file: Type.Optional(
      absolutePath('Credentials as `docker login` or `podman login` writes them, under `auths`.'),
    ),
    realm_hosts: Type.Optional(hosts('Other hosts of token servers. They get the credentials.')),
    repos: Type.Optional(namePatterns('The repositories that may be read. Unset: all.')),
    revisions,
  },
  'An OCI registry.',
);

export const S3Settings = strict(
  {
    ...common,
    type: Type.Literal('s3'),
    endpoint: endpoint('The S3 service.'),
    region: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$', description: 'The region of signatures.' }),
    path_style: Type.Optional(Type.Boolean({ description: 'Put the bucket in the path. Default: false.' })),
    credentials_file: Type.Optional(
      absolutePath('JSON with `access_key_id`, `secret_access_key` and optionally `session_token`.'),
    ),
    buckets: Type.Optional(namePatterns('The buckets that may be read. Unset: all.')),
    digest,
  },
  'An S3 bucket.',
);

export const SourcesFile = strict(
  {
    $schema: Type.Optional(Type.String({ description: 'For editors. The worker ignores it.' })),
    sources: Type.Array(Type.Union([HttpSettings, HfSettings, OciSettings, S3Settings]), {
      maxItems: 256,
      description: 'The sources. Their names are distinct.',
    }),
  },
  'The remote sources of a worker.',
);

/** The content of a credentials file of S3. */
export const S3CredentialsFile = strict(
  {
    access_key_id: Type.String({ minLength: 1, maxLength: 256 }),
    secret_access_key: Type.String({ minLength: 1, maxLength: 1024 }),
    session_token: Type.Optional(Type.String({ minLength: 1, maxLength: 8192 })),
  },
  'Static credentials of S3.',
);

export type HttpSettings = Static<typeof HttpSettings>;
export type HfSettings = Static<typeof HfSettings>;
export type OciSettings = Static<typeof OciSettings>;
export type S3Settings = Static<typeof S3Settings>;
export type SourcesFile = Static<typeof SourcesFile>;
/** The settings of one source. `type` tells them apart. */
export type SourceSettings = SourcesFile['sources'][number];
export type S3CredentialsFile = Static<typeof S3CredentialsFile>;

export const schemasByType = { http: HttpSettings, hf: HfSettings, oci: OciSettings, s3: S3Settings };
