import type { EgressEnvironment } from '../../src/sources/egress/environment.js';
import type { TransferOptions } from '../../src/sources/egress/request.js';
import { Inspector } from '../../src/sources/formats/inspector.js';
import type { S3Reference } from '../../src/sources/reference.js';
import { SourceRegistry } from '../../src/sources/registry.js';
import { SourceResolver } from '../../src/sources/resolver.js';
import type { S3Credentials } from '../../src/sources/settings/loaded_source.js';
import type { S3Settings } from '../../src/sources/settings/schema.js';
import { anySignal, environmentOf } from './http_sources.js';

export interface TestS3 {
  readonly settings: S3Settings;
  /** Undefined for anonymous requests. */
  readonly credentials?: S3Credentials | undefined;
  readonly environment?: Partial<EgressEnvironment>;
}

/** The registry of one configured source. */
export function s3Registry({ settings, credentials, environment }: TestS3): SourceRegistry {
  const files = credentials === undefined ? {} : { s3: credentials };
  return new SourceRegistry(environmentOf(environment), [{ settings, files }]);
}

/** Resolves references to the bucket `models` of one configured source. */
export function s3Source(source: TestS3) {
  const registry = s3Registry(source);
  const localFiles = { open: refuse, readText: refuse, readLink: refuse, list: refuse };
  const inspector = new Inspector({ headerBytes: 1024 * 1024 });
  const resolver = new SourceResolver({ registry, localFiles, inspector });
  const resolve = (reference: Partial<S3Reference> & { key: string }, options: Partial<TransferOptions> = {}) =>
    resolver.resolve({ type: 's3', bucket: 'models', ...reference }, { signal: anySignal(), ...options });
  return {
    resolve,
    /** Opens the only object of a reference. */
    open: async (reference: Partial<S3Reference> & { key: string }, options: Partial<TransferOptions> = {}) => {
      const { shards } = await resolve(reference, options);
      const [shard] = shards;
      if (shard === undefined) throw new Error('no shard');
      return shard.open({ signal: anySignal(), ...options });
    },
  };
}

const refuse = () => Promise.reject(new Error('no local file is expected'));
