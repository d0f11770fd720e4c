import type { AddressRules } from './address_rules.js';
import { forbidden } from './fault.js';
import type { HostPattern } from './host_pattern.js';
import { hostOf } from './url_rules.js';

/** What the settings of one source allow. */
export interface EgressRules {
  /** The name of the source in the settings. */
  readonly source: string;
  /** The URLs that a request may begin with. Each path ends in a slash. */
  readonly prefixes: readonly URL[];
  readonly redirectHosts: readonly HostPattern[];
  /** The hosts of token servers besides the source's own. */
  readonly realmHosts: readonly HostPattern[];
  readonly addresses: AddressRules;
  /** The trusted authorities in PEM; undefined for those of Node. */
  readonly ca?: Buffer | undefined;
}

/** Decides about the URL of each hop: the first, redirects, pages and token servers. @throws SOURCE_FORBIDDEN */
export class EgressPolicy {
  readonly rules: EgressRules;

  constructor(rules: EgressRules) {
    this.rules = rules;
  }

  /**
   * The policy of one prefix: below one of this policy, or below it with more labels before its host, as S3 writes
   * buckets. @throws SOURCE_FORBIDDEN
   */
  narrow(prefix: URL): EgressPolicy {
    const isBelow = this.rules.prefixes.some(
      ({ protocol, port, hostname, pathname }) =>
        prefix.protocol === protocol &&
        prefix.port === port &&
        (prefix.hostname === hostname || prefix.hostname.endsWith(`.${hostname}`)) &&
        prefix.pathname.startsWith(pathname),
    );
    if (!isBelow) throw forbidden(`The URL is outside the prefixes of the source ${this.rules.source}`);
    return new EgressPolicy({ ...this.rules, prefixes: [prefix] });
  }

  /** Whether a URL is below one of the prefixes. */
  covers(url: URL): boolean {
    return this.rules.prefixes.some(
      ({ origin, pathname }) => origin === url.origin && url.pathname.startsWith(pathname),
    );
  }

  requireFirst(url: URL): void {
    if (!this.covers(url)) throw forbidden(`The URL is outside the prefixes of the source ${this.rules.source}`);
  }

  /** A redirect within an own origin must keep a prefix. Another host must be on `redirect_hosts`. */
  requireRedirect(from: URL, to: URL): void {
    if (from.protocol === 'https:' && to.protocol === 'http:') {
      throw forbidden(`The source ${this.rules.source} redirected from https to http`);
    }
    if (this.#isOwnOrigin(to)) {
      this.requireFirst(to);
      return;
    }
    this.#requireScheme(to);
    if (this.rules.redirectHosts.some((pattern) => pattern.matches(to))) return;
    throw forbidden(`The source ${this.rules.source} redirected to ${hostOf(to)}: it is not in redirect_hosts`);
  }

  /** The next page of a list must stay on the origin of the current one. */
  requireNextPage(from: URL, to: URL): void {
    if (to.origin !== from.origin)
      throw forbidden(`The next page of the source ${this.rules.source} is on another host`);
    this.requireFirst(to);
  }

  /** A token server gets credentials, so it must be the source itself or on `realm_hosts`. */
  requireRealm(url: URL): void {
    if (this.#isOwnOrigin(url)) return;
    this.#requireScheme(url);
    if (this.rules.realmHosts.some((pattern) => pattern.matches(url))) return;
    throw forbidden(`The source ${this.rules.source} named the token server ${hostOf(url)}: it is not in realm_hosts`);
  }

  #isOwnOrigin(url: URL): boolean {
    return this.rules.prefixes.some((prefix) => prefix.origin === url.origin);
  }

  /** Plain http needs a prefix that has it. */
  #requireScheme(url: URL): void {
    const allowsHttp = this.rules.prefixes.some(({ protocol }) => protocol === 'http:');
    if (url.protocol === 'http:' && !allowsHttp) throw forbidden(`The source ${this.rules.source} does not allow http`);
  }
}
