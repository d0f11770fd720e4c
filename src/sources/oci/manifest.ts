import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { type Digest, isDigest } from '../../seal/digest.js';
import { invalid, SourceFault } from '../egress/fault.js';
import { indexTypes, manifestTypes } from './media_types.js';

/** What a manifest states of a blob or of another manifest. `urls` and `data` of the registry are never used. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly bytes: number;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A manifest of one artifact, or an index of manifests. */
export type OciDocument =
  | { readonly kind: 'manifest'; readonly layers: readonly Descriptor[] }
  | { readonly kind: 'index'; readonly manifests: readonly Descriptor[] };

/** More than the files of any model. */
const maxDescriptors = 8192;

const RawDescriptor = Type.Object({
  mediaType: Type.String({ minLength: 1, maxLength: 255 }),
  digest: Type.String({ maxLength: 255 }),
  size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  annotations: Type.Optional(Type.Union([Type.Record(Type.String(), Type.String()), Type.Null()])),
});
const descriptors = Type.Optional(Type.Array(RawDescriptor, { maxItems: maxDescriptors }));
const isDocument = Compile(
  Type.Object({
    schemaVersion: Type.Literal(2),
    mediaType: Type.Optional(Type.String()),
    layers: descriptors,
    manifests: descriptors,
  }),
);

/**
 * Checks a parsed manifest or index. Its own media type must be that of the response. A document that is both is
 * refused: two clients would read it differently.
 * @throws SourceFault SOURCE_INVALID, SOURCE_UNSUPPORTED
 */
export function parseDocument(value: unknown, contentType: string | undefined): OciDocument {
  const kind = kindOf(value, mediaTypeOf(contentType));
  if (!isDocument.Check(value)) throw invalid('The registry sent an invalid manifest');
  const { layers, manifests } = value;
  if (layers !== undefined && manifests !== undefined)
    throw invalid('The registry sent a manifest that is also an index');
  if (kind === 'index' && manifests !== undefined) return { kind, manifests: descriptorsOf(manifests) };
  if (kind === 'manifest' && layers !== undefined) return { kind, layers: descriptorsOf(layers) };
  throw invalid('The registry sent a manifest whose content differs from its media type');
}

const mediaTypeOf = (contentType: string | undefined): string | undefined =>
  contentType?.split(';', 1)[0]?.trim().toLowerCase();

/** Registries that send a general type, such as `application/json`, leave the decision to the document. */
function kindOf(value: unknown, sent: string | undefined): OciDocument['kind'] {
  const own = fieldOf(value, 'mediaType');
  const known = [...manifestTypes, ...indexTypes];
  if (typeof own === 'string' && sent !== undefined && known.includes(sent) && own !== sent) {
    throw invalid('The registry sent a manifest with two media types');
  }
  const type = typeof own === 'string' ? own : known.find((each) => each === sent);
  if (type === undefined) return fieldOf(value, 'manifests') === undefined ? 'manifest' : 'index';
  if (manifestTypes.includes(type)) return 'manifest';
  if (indexTypes.includes(type)) return 'index';
  throw new SourceFault('SOURCE_UNSUPPORTED', 'The manifest has a media type that is neither of OCI nor of Docker');
}

const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;

function descriptorsOf(raw: readonly Static<typeof RawDescriptor>[]): Descriptor[] {
  const found = raw.map(({ mediaType, digest, size, annotations }) => ({
    mediaType,
    digest: checkedDigest(digest),
    bytes: size,
    annotations: annotations ?? {},
  }));
  const sum = found.reduce((total, { bytes }) => total + bytes, 0);
  if (!Number.isSafeInteger(sum)) throw invalid('The sizes of the manifest have a sum beyond 2^53');
  return found;
}

/** A digest becomes part of URLs and names, so only its exact form passes. */
function checkedDigest(text: string): Digest {
  if (isDigest(text)) return text;
  if (/^sha512:[0-9a-f]{128}$/.test(text)) {
    throw new SourceFault('SOURCE_UNSUPPORTED', 'The manifest has a digest of SHA-512: only SHA-256 is supported');
  }
  throw invalid('The manifest has a digest that is not sha256: and 64 lower-case hex digits');
}
