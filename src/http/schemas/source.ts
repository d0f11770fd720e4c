import Type, { type TSchema } from 'typebox';
import {
  FileReference,
  HfCacheReference,
  HfReference,
  HttpReference,
  OciReference,
  S3Reference,
  type SourceReference,
} from '../../sources/reference.js';

const component = <const Id extends string, T extends TSchema>(id: Id, schema: T) => ({ ...schema, $id: id });

export const FileSource = component('FileSource', FileReference);
export const HttpSource = component('HttpSource', HttpReference);
export const HfSource = component('HfSource', HfReference);
export const HfCacheSource = component('HfCacheSource', HfCacheReference);
export const OciSource = component('OciSource', OciReference);
export const S3Source = component('S3Source', S3Reference);

/** The forms of a reference, by their `type`. */
const forms = {
  file: FileSource,
  http: HttpSource,
  hf: HfSource,
  hf_cache: HfCacheSource,
  oci: OciSource,
  s3: S3Source,
} satisfies Record<SourceReference['type'], TSchema>;

export const sourceTypes = Object.keys(forms);

/** For the OpenAPI document: the component of each `type`. Ajv finds them itself. */
export const sourceMapping = Object.fromEntries(
  Object.entries(forms).map(([type, { $id }]) => [type, `#/components/schemas/${$id}`]),
);

/** A reference. `type` selects its form, so that an error names a field of that form. */
export const Source = component(
  'Source',
  Type.Unsafe<SourceReference>({
    type: 'object',
    required: ['type'],
    discriminator: { propertyName: 'type' },
    oneOf: Object.values(forms).map(({ $id }) => ({ $ref: $id })),
    description: 'Where a model is.',
  }),
);
