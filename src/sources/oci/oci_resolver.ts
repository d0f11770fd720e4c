import { WorkerError } from '../../errors.js';
import { type Digest, isDigest } from '../../seal/digest.js';
import { forbidden, invalid, SourceFault } from '../egress/fault.js';
import type { TransferOptions } from '../egress/request.js';
import { matchesPattern } from '../file_pattern.js';
import { selectFiles } from '../file_selection.js';
import type { ModelFileEntry, ModelResolver, ResolvedModel } from '../model.js';
import type { OciReference } from '../reference.js';
import { textOf } from '../reference_text.js';
import type { SourceOf, SourceRegistry } from '../registry.js';
import { prefixesOf } from '../settings/prefixes.js';
import type { OciSettings } from '../settings/schema.js';
import { type ArtifactFile, filesOf, requireRaw, withoutShards } from './artifact_files.js';
import { BlobSource } from './blob_source.js';
import type { Descriptor } from './manifest.js';
import { manifestTypes } from './media_types.js';
import { loginOf, registryOf } from './registry_host.js';
import { OciRepository } from './repository.js';

/** A segment begins and ends with a letter or digit, so it cannot be `..`. Some registries allow upper case. */
const repositoryForm = /^[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*)*$/;
const maxRepositoryLength = 255;
const tagForm = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** Finds the files of artifacts in OCI registries. */
export class OciResolver implements ModelResolver<OciReference> {
  readonly #registry: SourceRegistry;

  constructor(registry: SourceRegistry) {
    this.#registry = registry;
  }

  async resolve(reference: OciReference, options: TransferOptions): Promise<ResolvedModel> {
    const { repository, reference: revision = 'latest', files: patterns } = reference;
    requireSyntax(repository, revision);
    const source = this.#registry.findRegistry(reference);
    const { settings } = source;
    requireAllowed(settings, repository, revision);
    const place = placeOf(source, repository);
    const { digest, layers } = await artifactOf(place, revision, options);
    const files = new Map(filesOf(layers).map((file) => [file.path, file]));
    const { shards, indexes, skipped } = select(files, patterns);
    const pinned = { type: 'oci', registry: registryOf(settings.endpoint), repository, reference: digest } as const;
    const entryOf = (file: ArtifactFile): ModelFileEntry => ({
      path: file.path,
      bytes: file.layer.bytes,
      claim: { digest: file.layer.digest, from: 'descriptor' },
      pinned: { ...pinned, name: settings.name, files: [file.path] },
      open: (each) => BlobSource.open(place, file.layer, each),
    });
    return {
      modelRef: textOf(pinned),
      isImmutable: true,
      shards: shards.map(entryOf),
      indexes: indexes.map(entryOf),
      skipped,
    };
  }
}

interface ArtifactSelection {
  readonly shards: readonly ArtifactFile[];
  readonly indexes: readonly ArtifactFile[];
  readonly skipped: readonly string[];
}

/** Nameless shards keep the order of the layers, because their names are digests. @throws SOURCE_UNSUPPORTED */
function select(files: ReadonlyMap<string, ArtifactFile>, patterns: readonly string[] | undefined): ArtifactSelection {
  const all = [...files.values()];
  if (patterns === undefined && all.every(({ kind }) => kind !== 'shard')) throw withoutShards(all);
  const selected = selectFiles([...files.keys()], patterns, (path) => files.get(path)?.kind ?? 'other');
  const filesAt = (paths: readonly string[]): ArtifactFile[] => paths.flatMap((path) => files.get(path) ?? []);
  const [shards, indexes] = [filesAt(selected.shards), filesAt(selected.indexes)];
  for (const file of [...shards, ...indexes]) requireRaw(file);
  if (!shards.every(({ isNamed }) => isNamed)) shards.sort((a, b) => a.number - b.number);
  return { shards, indexes, skipped: selected.skipped };
}

function requireSyntax(repository: string, revision: string): void {
  if (repository.length > maxRepositoryLength || !repositoryForm.test(repository)) {
    throw new WorkerError('INVALID_PARAMS', 'The repository of the source is invalid: use a form such as models/llama');
  }
  if (isDigest(revision) || tagForm.test(revision)) return;
  throw new WorkerError('INVALID_PARAMS', 'The reference of the source must be a tag, or sha256: and 64 hex digits');
}

/** @throws SOURCE_FORBIDDEN */
function requireAllowed({ name, repos, revisions }: OciSettings, repository: string, revision: string): void {
  if (repos?.some((pattern) => matchesPattern(pattern, repository)) === false) {
    throw forbidden(`The repository is not in repos of the source ${name}`);
  }
  if (revisions === 'commit' && !isDigest(revision)) {
    throw forbidden(`The source ${name} accepts only digests: name the manifest by its digest instead of a tag`);
  }
}

function placeOf({ egress, settings, files }: SourceOf<'oci'>, repository: string): OciRepository {
  const [endpoint] = prefixesOf(settings);
  if (endpoint === undefined) throw new Error('an OCI source has an endpoint');
  return new OciRepository({
    egress,
    endpoint,
    repository,
    login: loginOf(settings.endpoint, repository, files.docker),
  });
}

/** The manifest of a reference. An index is followed if it lists one manifest of an artifact. */
async function artifactOf(
  repository: OciRepository,
  revision: string,
  options: TransferOptions,
): Promise<{ readonly digest: Digest; readonly layers: readonly Descriptor[] }> {
  const { digest, document } = await repository.document(revision, options);
  if (document.kind === 'manifest') return { digest, layers: document.layers };
  const only = onlyManifest(document.manifests);
  const found = await repository.document(only.digest, options);
  if (found.document.kind !== 'manifest') throw invalid('The registry sent an index in place of a manifest');
  if (found.bytes !== only.bytes) throw invalid('The registry sent a manifest of another length than its index states');
  return { digest: found.digest, layers: found.document.layers };
}

/** @throws SOURCE_UNSUPPORTED */
function onlyManifest(manifests: readonly Descriptor[]): Descriptor {
  const usable = manifests.filter((each) => manifestTypes.includes(each.mediaType) && !isAttestation(each));
  const [only] = usable;
  if (only !== undefined && usable.every(({ digest }) => digest === only.digest)) return only;
  const count = new Set(usable.map(({ digest }) => digest)).size;
  const hint = count === 0 ? '' : ': use the digest of one of them as the reference';
  throw new SourceFault('SOURCE_UNSUPPORTED', `The index lists ${count} manifests of artifacts instead of one${hint}`);
}

/** BuildKit adds statements about an artifact to its index. */
const isAttestation = ({ annotations }: Descriptor): boolean =>
  annotations['vnd.docker.reference.type'] === 'attestation-manifest';
