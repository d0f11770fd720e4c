import { AddressRules } from './egress/address_rules.js';
import { Egress } from './egress/egress.js';
import type { EgressEnvironment } from './egress/environment.js';
import { forbidden } from './egress/fault.js';
import { HostPattern } from './egress/host_pattern.js';
import { EgressPolicy } from './egress/policy.js';
import { isRegistryOf } from './oci/registry_host.js';
import type { LoadedSource } from './settings/loaded_source.js';
import { prefixesOf } from './settings/prefixes.js';
import type { SourceSettings } from './settings/schema.js';

/** A configured source and its way out. */
export interface ConfiguredSource extends LoadedSource {
  readonly egress: Egress;
}

/** A configured source of one type. */
export interface SourceOf<T extends SourceSettings['type']> extends ConfiguredSource {
  readonly settings: Extract<SourceSettings, { type: T }>;
}

/**
 * The configured sources. A reload replaces them; transfers that run keep the source that they began with. Without
 * sources, every request for a remote one is refused.
 */
export class SourceRegistry {
  readonly #environment: EgressEnvironment;
  #sources: ReadonlyMap<string, ConfiguredSource> = new Map();

  constructor(environment: EgressEnvironment, sources: readonly LoadedSource[]) {
    this.#environment = environment;
    this.replace(sources);
  }

  /** Takes over sources. Returns whether they differ from the previous ones. */
  replace(sources: readonly LoadedSource[]): boolean {
    const previous = this.#sources;
    const next = sources.map((source) => {
      const existing = previous.get(source.settings.name);
      return existing !== undefined && isSame(existing, source) ? existing : this.#configure(source);
    });
    this.#sources = new Map(next.map((source) => [source.settings.name, source]));
    return next.length !== previous.size || next.some((source) => previous.get(source.settings.name) !== source);
  }

  /** The source of a request: by its name, or the only one of its type. @throws SourceFault SOURCE_FORBIDDEN */
  find<T extends SourceSettings['type']>(type: T, name?: string): SourceOf<T> {
    const matching = this.#ofType(type);
    if (name === undefined) {
      const [only] = matching;
      if (only !== undefined && matching.length === 1) return only;
      const isAbsent = matching.length === 0;
      throw forbidden(
        isAbsent
          ? `No source of the type ${type} is configured: add one to WORKER_SOURCES_FILE`
          : `More than one source of the type ${type} is configured: give the name of one`,
      );
    }
    const named = matching.find(({ settings }) => settings.name === name);
    if (named === undefined) throw forbidden('No source of this name and type is configured: see WORKER_SOURCES_FILE');
    return named;
  }

  /** The HTTP source that covers a URL. @throws SourceFault SOURCE_FORBIDDEN */
  findHttp(url: URL, name?: string): SourceOf<'http'> {
    const covering = this.#ofType('http').find(
      ({ settings, egress }) => (name === undefined || settings.name === name) && egress.policy.covers(url),
    );
    if (covering === undefined)
      throw forbidden('The URL is outside the prefixes of the configured sources: add a prefix to WORKER_SOURCES_FILE');
    return covering;
  }

  /** The source of a registry: by its host, its name, or both. @throws SourceFault SOURCE_FORBIDDEN */
  findRegistry({ name, registry }: { readonly name?: string; readonly registry?: string }): SourceOf<'oci'> {
    if (registry === undefined) return this.find('oci', name);
    const matching = this.#ofType('oci').filter(
      ({ settings }) => isRegistryOf(settings.endpoint, registry) && (name === undefined || settings.name === name),
    );
    const [only] = matching;
    if (only !== undefined && matching.length === 1) return only;
    if (matching.length > 1) throw forbidden('More than one source has this registry: give the name of one');
    throw forbidden('No source of this registry is configured: add one to WORKER_SOURCES_FILE');
  }

  #ofType<T extends SourceSettings['type']>(type: T): SourceOf<T>[] {
    const isOfType = (source: ConfiguredSource): source is SourceOf<T> => source.settings.type === type;
    return [...this.#sources.values()].filter(isOfType);
  }

  #configure(source: LoadedSource): ConfiguredSource {
    const { settings, files } = source;
    const policy = new EgressPolicy({
      source: settings.name,
      prefixes: prefixesOf(settings),
      redirectHosts: patterns(settings.redirect_hosts),
      realmHosts: settings.type === 'oci' ? patterns(settings.realm_hosts) : [],
      addresses: new AddressRules(settings.addresses),
      ca: files.ca,
    });
    return { ...source, egress: new Egress(policy, this.#environment) };
  }
}

const patterns = (texts: readonly string[] = []): HostPattern[] => texts.map((text) => new HostPattern(text));

/** Compares settings and the contents of their files. JSON shows no secret, so those are compared apart. */
function isSame(a: LoadedSource, b: LoadedSource): boolean {
  return JSON.stringify(a.settings) === JSON.stringify(b.settings) && contentOf(a) === contentOf(b);
}

function contentOf({ files: { token, docker, s3, ca } }: LoadedSource): string {
  const logins = [...(docker ?? [])].map(([host, { username, password }]) => [host, username, password.reveal()]);
  const keys = [s3?.accessKeyId, s3?.secretAccessKey.reveal(), s3?.sessionToken?.reveal()];
  return JSON.stringify([token?.reveal(), logins, keys, ca?.toString('latin1')]);
}
