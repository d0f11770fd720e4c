import { invalid, SourceFault } from '../egress/fault.js';
import { isFilePath } from '../file_path.js';
import { type FileKind, kindOfFile } from '../file_pattern.js';
import type { Descriptor } from './manifest.js';
import { isDefaultOfOras, layerTypeOf } from './media_types.js';

/** A layer as a file of a model. */
export interface ArtifactFile {
  readonly path: string;
  readonly kind: FileKind;
  readonly layer: Descriptor;
  /** The number of the layer, from 1. */
  readonly number: number;
  /** Whether the registry names the file. A nameless one has a name by its digest. */
  readonly isNamed: boolean;
  /** How the layer is packed; undefined for the plain bytes of the file. */
  readonly packing: string | undefined;
}

/** Annotations with the name of a file: those of ModelPack, its earlier name CNAI, and ORAS. */
const nameAnnotations: readonly string[] = [
  'org.cncf.model.filepath',
  'org.cnai.model.filepath',
  'org.opencontainers.image.title',
];

/** ORAS packs folders, and marks them. */
const unpackAnnotation = 'io.deis.oras.content.unpack';

/**
 * The layers of an artifact as files. A name must be a plain path, and must not occur twice. The same layer listed twice
 * is one file.
 * @throws SourceFault SOURCE_INVALID
 */
export function filesOf(layers: readonly Descriptor[]): readonly ArtifactFile[] {
  const files = new Map<string, ArtifactFile>();
  for (const [index, layer] of layers.entries()) {
    const file = fileOf(layer, index + 1);
    const earlier = files.get(file.path);
    if (earlier === undefined) files.set(file.path, file);
    else if (earlier.layer.digest !== layer.digest) throw invalid('Two layers of the artifact have the same file name');
  }
  return [...files.values()];
}

function fileOf(layer: Descriptor, number: number): ArtifactFile {
  const { isWeights, packing, extension } = layerTypeOf(layer.mediaType);
  const name = nameAnnotations.map((key) => layer.annotations[key]).find((each) => each !== undefined);
  if (name !== undefined && !isFilePath(name)) throw invalid('A layer of the artifact has an invalid file name');
  const path = name ?? `${layer.digest.replace(':', '-')}${extension}`;
  const byName = kindOfFile(path);
  return {
    path,
    kind: isWeights && byName === 'other' ? 'shard' : byName,
    layer,
    number,
    isNamed: name !== undefined,
    packing: isPlainFileOfOras(layer, name) ? undefined : packing,
  };
}

/** `oras push` without a type calls a plain file a tar archive. Folders are marked, and archives have their name. */
const isPlainFileOfOras = (layer: Descriptor, name: string | undefined): boolean =>
  isDefaultOfOras(layer.mediaType) &&
  name !== undefined &&
  !name.endsWith('.tar') &&
  layer.annotations[unpackAnnotation] !== 'true';

/** Refuses a file whose bytes are not those of the layer, or that has none. @throws SOURCE_UNSUPPORTED */
export function requireRaw({ packing, number, layer }: ArtifactFile): void {
  if (packing !== undefined) throw packed(number, packing);
  if (layer.bytes === 0) throw new SourceFault('SOURCE_UNSUPPORTED', `Layer ${number} of the artifact is empty`);
}

/** The error of an artifact without shards, which names a packed layer if there is one. */
export function withoutShards(files: readonly ArtifactFile[]): SourceFault {
  const archive = files.find(({ packing }) => packing !== undefined);
  if (archive?.packing !== undefined) return packed(archive.number, archive.packing);
  const message = 'The artifact has no layer of weights: name its files in the reference to read other layers';
  return new SourceFault('SOURCE_UNSUPPORTED', message);
}

const packed = (number: number, packing: string): SourceFault =>
  new SourceFault(
    'SOURCE_UNSUPPORTED',
    `Layer ${number} of the artifact is packed as ${packing}: push the weights as raw layers`,
  );
