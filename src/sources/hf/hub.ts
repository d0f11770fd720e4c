import type { Egress } from '../egress/egress.js';
import { forbidden } from '../egress/fault.js';
import type { Credential, SourceRequest } from '../egress/request.js';
import { matchesPattern } from '../file_pattern.js';
import type { ConfiguredSource } from '../registry.js';
import { prefixesOf } from '../settings/prefixes.js';
import type { HfSettings } from '../settings/schema.js';
import { type HubSubject, hubFault } from './hub_fault.js';
import { HubUrls } from './hub_urls.js';
import { isCommit } from './repo_name.js';

/** A configured hub, or a mirror of one. */
export class Hub {
  readonly egress: Egress;
  readonly urls: HubUrls;
  readonly #settings: HfSettings;
  readonly #credential: Credential | undefined;

  private constructor(settings: HfSettings, endpoint: URL, { egress, files }: ConfiguredSource) {
    this.#settings = settings;
    this.egress = egress;
    this.urls = new HubUrls(endpoint);
    const { token } = files;
    this.#credential = token && {
      origin: endpoint.origin,
      headersFor: () => ({ Authorization: `Bearer ${token.reveal()}` }),
    };
  }

  /** @throws SourceFault SOURCE_FORBIDDEN for a source of another type */
  static of(source: ConfiguredSource): Hub {
    const { settings } = source;
    const [endpoint] = prefixesOf(settings);
    if (settings.type !== 'hf' || endpoint === undefined) throw forbidden('The source is not a Hugging Face hub');
    return new Hub(settings, endpoint, source);
  }

  /** The name of the source in the settings. */
  get name(): string {
    return this.#settings.name;
  }

  /** Refuses what the settings do not allow, before a request. @throws SourceFault SOURCE_FORBIDDEN */
  requireAllowed(repo: string, revision: string): void {
    this.#requireRepo(repo, `The repository ${repo} is not in repos of the source ${this.name}`);
    if (this.#settings.revisions === 'commit' && !isCommit(revision)) {
      throw forbidden(`The source ${this.name} accepts only full commit ids as revisions`);
    }
  }

  /** A request to the hub. Its credential stays on the endpoint's origin. */
  request(url: URL, subject: HubSubject): SourceRequest {
    return {
      role: 'endpoint',
      url,
      credential: this.#credential,
      onRedirect: (to) => this.follow(to, subject.repo),
      explain: (hop) => (this.urls.isOwn(hop.url) ? hubFault(hop.head, subject) : undefined),
    };
  }

  /**
   * A link of a redirect or a page, as the worker follows it. The hub redirects from a renamed repository, whose new
   * name must be allowed as well.
   * @throws SourceFault SOURCE_FORBIDDEN
   */
  follow(link: URL, repo: string): URL {
    const url = this.urls.rewrite(link);
    const renamed = this.urls.repoOf(url);
    if (renamed !== undefined && renamed !== repo) {
      this.#requireRepo(
        renamed,
        `The repository ${repo} was renamed to ${renamed}, which is not in repos of the source ${this.name}`,
      );
    }
    return url;
  }

  #requireRepo(repo: string, message: string): void {
    const { repos } = this.#settings;
    if (repos?.some((pattern) => pattern === '*' || matchesPattern(pattern, repo)) === false) throw forbidden(message);
  }
}
