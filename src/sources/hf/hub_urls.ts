import { isRepo } from './repo_name.js';

/** The host whose links mirrors repeat. huggingface_hub replaces the same prefix (`fix_hf_endpoint_in_url`). */
const originalOrigin = 'https://huggingface.co';

/** Parts of paths in which the name of a repository follows. */
const apiPrefixes = ['api/models/', 'api/resolve-cache/models/'];

/** The URLs of one endpoint: the hub itself, or a mirror, whose paths may begin with a prefix. */
export class HubUrls {
  readonly #endpoint: URL;

  /** @param endpoint Its path ends in a slash. */
  constructor(endpoint: URL) {
    this.#endpoint = endpoint;
  }

  get origin(): string {
    return this.#endpoint.origin;
  }

  revision(repo: string, revision: string): URL {
    return this.#below(`api/models/${repo}/revision/${encodeURIComponent(revision)}`);
  }

  tree(repo: string, commit: string): URL {
    return this.#below(`api/models/${repo}/tree/${commit}?recursive=true&expand=false`);
  }

  file(repo: string, commit: string, path: string): URL {
    return this.#below(`${repo}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`);
  }

  /** A link as this endpoint serves it: a mirror repeats links of the original host. Other links stay as they are. */
  rewrite(link: URL): URL {
    if (link.origin !== originalOrigin || link.origin === this.origin) return link;
    return this.#below(`${link.pathname.slice(1)}${link.search}`);
  }

  isOwn(url: URL): boolean {
    return url.origin === this.origin;
  }

  /** The repository that a URL of this endpoint names; undefined for other URLs. */
  repoOf(url: URL): string | undefined {
    const root = this.#endpoint.pathname;
    if (!this.isOwn(url) || !url.pathname.startsWith(root)) return undefined;
    const path = url.pathname.slice(root.length);
    const prefix = apiPrefixes.find((each) => path.startsWith(each));
    const segments = path.slice(prefix?.length ?? 0).split('/');
    const length = prefix === 'api/resolve-cache/models/' ? 2 : lengthOfRepo(segments, prefix === undefined);
    const repo = segments.slice(0, length).join('/');
    return length !== undefined && isRepo(repo) ? repo : undefined;
  }

  #below(path: string): URL {
    return new URL(`${this.#endpoint.href}${path}`);
  }
}

/** A name has two parts, or one for some old repositories. The word after it tells which. */
function lengthOfRepo(segments: readonly string[], isFile: boolean): number | undefined {
  const words = isFile ? ['resolve'] : ['revision', 'tree'];
  return [2, 1].find((length) => words.includes(segments[length] ?? ''));
}
