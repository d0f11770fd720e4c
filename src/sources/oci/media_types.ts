/** The media types of manifests, as `Accept` lists them. */
export const manifestTypes: readonly string[] = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

/** The media types of lists of manifests. */
export const indexTypes: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];

/** What the media type of a layer states of its file. */
export interface LayerType {
  /** Whether the layer is the weights of a model, or a part of them, packed or not. */
  readonly isWeights: boolean;
  /** How the file is packed, in the worker's words; undefined for the plain bytes of the file. */
  readonly packing: string | undefined;
  /** The end of the file's name that the type implies. */
  readonly extension: '.gguf' | '.safetensors' | '';
}

/** Docker models, Ollama, CNCF ModelPack with its earlier name CNAI, and KitOps. */
const weights: readonly RegExp[] = [
  /^application\/vnd\.docker\.ai\.(gguf|safetensors|mmproj)(?:\.v[0-9]+)?$/,
  /^application\/vnd\.docker\.ai\.model\.file\.v1\+(gguf)$/,
  /^application\/vnd\.ollama\.image\.(?:model|projector|adapter)$/,
  /^application\/vnd\.(?:cncf|cnai)\.model\.weight\.v1\.(raw|gguf|safetensors|tar(?:\+gzip|\+zstd)?)$/,
  /^application\/vnd\.kitops\.modelkit\.(?:model|modelpart)\.v1\.tar(?:\+gzip|\+zstd)?$/,
];

const extensions: Readonly<Record<string, LayerType['extension']>> = {
  gguf: '.gguf',
  // A multimodal projector of Docker models is a GGUF file.
  mmproj: '.gguf',
  safetensors: '.safetensors',
};

/** Whether ORAS gave this type to a plain file, because its user named no type. */
export const isDefaultOfOras = (mediaType: string): boolean => mediaType === 'application/vnd.oci.image.layer.v1.tar';

/** What the media type of a layer says of its content. */
export function layerTypeOf(mediaType: string): LayerType {
  const type = mediaType.toLowerCase();
  const found = weights.map((each) => each.exec(type)).find((each) => each !== null);
  return { isWeights: found !== undefined, packing: packingOf(type), extension: extensions[found?.[1] ?? ''] ?? '' };
}

/** Suffixes of layers such as `.tar+gzip` and `.tar.gzip`, and types such as `application/x-tar`. */
function packingOf(type: string): string | undefined {
  const found = type.match(/(?<=[.+/-])(?:tar|gzip|zstd|zip|encrypted)(?=$|[.+])/g) ?? [];
  return found.length === 0 ? undefined : found.join('+');
}
