import type { EgressEnvironment } from '../../src/sources/egress/environment.js';
import type { TransferOptions } from '../../src/sources/egress/request.js';
import { Secret } from '../../src/sources/egress/secret.js';
import type { ResolvedModel } from '../../src/sources/model.js';
import { OciResolver } from '../../src/sources/oci/oci_resolver.js';
import type { OciReference } from '../../src/sources/reference.js';
import { SourceRegistry } from '../../src/sources/registry.js';
import type { SourceFiles } from '../../src/sources/settings/loaded_source.js';
import type { OciSettings } from '../../src/sources/settings/schema.js';
import { anySignal, environmentOf, MemorySink } from './http_sources.js';

export interface OciTestSource {
  readonly endpoint: string;
  readonly settings?: Partial<OciSettings>;
  readonly files?: SourceFiles;
  readonly environment?: Partial<EgressEnvironment>;
}

/** The login `robot` for a registry host, as `docker_config_file` gives it. */
export const loginFor = (host: string, password = 'pa:ss wörd'): SourceFiles => ({
  docker: new Map([[host, { username: 'robot', password: new Secret(password) }]]),
});

/** A configured registry named `lab`, and `resolve` as a request of a client calls it. */
export function ociSource({ endpoint, settings = {}, files = {}, environment }: OciTestSource) {
  const registry = new SourceRegistry(environmentOf(environment), [
    { settings: { name: 'lab', type: 'oci', endpoint, addresses: ['127.0.0.1'], ...settings }, files },
  ]);
  const resolver = new OciResolver(registry);
  const resolve = (
    reference: Partial<OciReference> = {},
    options: Partial<TransferOptions> = {},
  ): Promise<ResolvedModel> =>
    resolver.resolve({ type: 'oci', repository: 'models/llama', ...reference }, { signal: anySignal(), ...options });
  return { registry, resolve };
}

/** The bytes of the first shard, read as a commit does. */
export async function firstShard(model: ResolvedModel, options: Partial<TransferOptions> = {}): Promise<Buffer> {
  const [shard] = model.shards;
  if (shard === undefined) throw new Error('the model has no shard');
  const all: TransferOptions = { signal: anySignal(), ...options };
  const source = await shard.open(all);
  const sink = new MemorySink();
  await source.copyTo(sink, { offset: 0, length: source.totalBytes }, all);
  return sink.content;
}
