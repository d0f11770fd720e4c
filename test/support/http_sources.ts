import { Bandwidth } from '../../src/sources/egress/bandwidth.js';
import { systemClock } from '../../src/sources/egress/clock.js';
import type { EgressEnvironment } from '../../src/sources/egress/environment.js';
import type { TransferOptions } from '../../src/sources/egress/request.js';
import { HttpSource } from '../../src/sources/http/http_source.js';
import { SourceRegistry } from '../../src/sources/registry.js';
import type { LoadedSource, SourceFiles } from '../../src/sources/settings/loaded_source.js';
import type { HttpSettings } from '../../src/sources/settings/schema.js';

/** The part of the loopback network that the sources of a test may use. */
export const openedRange = '127.0.0.0/8';

/** Names lead to loopback addresses; every other name has none. */
export function lookupOf(names: Readonly<Record<string, readonly string[]>>) {
  return async (hostname: string): Promise<readonly string[]> => {
    const found = names[hostname];
    if (found !== undefined) return found;
    throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
  };
}

export function environmentOf(changes: Partial<EgressEnvironment> = {}): EgressEnvironment {
  const clock = changes.clock ?? systemClock;
  return {
    clock,
    lookup: lookupOf({}),
    random: () => 0,
    maxConnections: 8,
    minBytesPerSecond: 65_536,
    bandwidth: new Bandwidth(0, clock),
    ...changes,
  };
}

export interface TestSource {
  readonly settings: Omit<HttpSettings, 'name' | 'type'>;
  readonly files?: SourceFiles;
  readonly environment?: Partial<EgressEnvironment>;
  /** The `realm_hosts` of a registry with the prefix as its endpoint. */
  readonly realmHosts?: readonly string[];
}

/** A configured HTTP source, and `open` as a request of a client calls it. */
export function httpSource({ settings, files = {}, environment, realmHosts }: TestSource) {
  const { prefixes, ...rest } = settings;
  const [endpoint = ''] = prefixes;
  const common = { name: 'test', ...rest };
  const source: LoadedSource =
    realmHosts === undefined
      ? { settings: { ...common, type: 'http', prefixes }, files }
      : { settings: { ...common, type: 'oci', endpoint, realm_hosts: [...realmHosts] }, files };
  const registry = new SourceRegistry(environmentOf(environment), [source]);
  const { egress } = registry.find(source.settings.type);
  return {
    registry,
    egress,
    open: (url: string, options: Partial<TransferOptions> = {}) =>
      HttpSource.open(egress, url, { signal: new AbortController().signal, ...options }),
  };
}

export const anySignal = (): AbortSignal => new AbortController().signal;

/** A sink that keeps all bytes, and counts those that it got. */
export class MemorySink {
  readonly #chunks: Buffer[] = [];
  bytes = 0;

  write(chunk: Uint8Array): undefined {
    this.#chunks.push(Buffer.from(chunk));
    this.bytes += chunk.length;
  }

  get content(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
