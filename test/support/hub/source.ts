import type { EgressEnvironment } from '../../../src/sources/egress/environment.js';
import type { TransferOptions } from '../../../src/sources/egress/request.js';
import { Secret } from '../../../src/sources/egress/secret.js';
import { HfResolver } from '../../../src/sources/hf/hf_resolver.js';
import type { ModelFileEntry } from '../../../src/sources/model.js';
import { readRange } from '../../../src/sources/read_range.js';
import type { HfReference } from '../../../src/sources/reference.js';
import { SourceRegistry } from '../../../src/sources/registry.js';
import type { HfSettings } from '../../../src/sources/settings/schema.js';
import { anySignal, environmentOf, lookupOf } from '../http_sources.js';
import { cdnHost, type FixtureHub, hubHost } from './server.js';

export interface SourceOptions {
  readonly settings?: Partial<HfSettings>;
  readonly token?: string;
  readonly environment?: Partial<EgressEnvironment>;
}

/** The fixture as the configured source `hub`. */
export function hubRegistry(hub: FixtureHub, { settings, token, environment }: SourceOptions = {}): SourceRegistry {
  const names = { [hubHost]: ['127.0.0.1'], [cdnHost]: ['127.0.0.1'] };
  return new SourceRegistry(environmentOf({ lookup: lookupOf(names), ...environment }), [
    {
      settings: {
        type: 'hf',
        name: 'hub',
        endpoint: hub.endpoint,
        redirect_hosts: [new URL(hub.cdn).host],
        addresses: ['127.0.0.1'],
        ...settings,
      },
      files: { ca: hub.authority.certificate.cert, ...(token === undefined ? {} : { token: new Secret(token) }) },
    },
  ]);
}

/** `resolve` as a request of a client calls it. */
export function hubSource(hub: FixtureHub, options: SourceOptions = {}) {
  const resolver = new HfResolver(hubRegistry(hub, options));
  return {
    resolve: (reference: Omit<HfReference, 'type'>, transfer: Partial<TransferOptions> = {}) =>
      resolver.resolve({ type: 'hf', ...reference }, { signal: anySignal(), ...transfer }),
  };
}

/** All bytes of a file. */
export async function contentOf(
  entry: ModelFileEntry | undefined,
  options: Partial<TransferOptions> = {},
): Promise<Buffer> {
  if (entry === undefined) throw new Error('there is no such file');
  const within = { signal: anySignal(), ...options };
  const source = await entry.open(within);
  try {
    return await readRange(source, { offset: 0, length: source.totalBytes }, within);
  } finally {
    source.close();
  }
}
