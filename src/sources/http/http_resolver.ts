import { bearerOf } from '../egress/bearer.js';
import type { Credential, TransferOptions } from '../egress/request.js';
import { isPersistable, loggableUrl, parseUrl } from '../egress/url_rules.js';
import { isFilePath } from '../file_path.js';
import type { Inspector } from '../formats/inspector.js';
import { filesOf } from '../index_model.js';
import type { ModelFileEntry, ModelResolver, ResolvedModel } from '../model.js';
import type { HttpReference } from '../reference.js';
import type { ConfiguredSource, SourceRegistry } from '../registry.js';
import { HttpSource } from './http_source.js';

/** Finds a file of an HTTP server, or an index and the files next to it. */
export class HttpResolver implements ModelResolver<HttpReference> {
  readonly #registry: SourceRegistry;
  readonly #inspector: Inspector;

  constructor(registry: SourceRegistry, inspector: Inspector) {
    this.#registry = registry;
    this.#inspector = inspector;
  }

  async resolve({ url: text, name }: HttpReference, options: TransferOptions): Promise<ResolvedModel> {
    const url = parseUrl(text, 'INVALID_PARAMS');
    const source = this.#registry.findHttp(url, name);
    const entry = await entryOf(source, url, options);
    // The query is often a signature of this path alone, so the other files are asked for without it.
    const sibling = (file: string) => entryOf(source, new URL(encodeURIComponent(file), loggableUrl(url)), options);
    const files = await filesOf(entry, this.#inspector, sibling, options);
    const digestRule = source.settings.digest ?? 'require';
    return { modelRef: loggableUrl(url), isImmutable: false, digestRule, ...files };
  }
}

async function entryOf(source: ConfiguredSource, url: URL, options: TransferOptions): Promise<ModelFileEntry> {
  const credential = credentialOf(source, url);
  const file = await HttpSource.open(source.egress, url.href, { ...options, credential });
  return {
    path: nameOf(url),
    bytes: file.totalBytes,
    claim: file.claim,
    pinned: isPersistable(url) ? { type: 'http', name: source.settings.name, url: url.href } : undefined,
    open: async () => file,
  };
}

function credentialOf({ settings, files }: ConfiguredSource, url: URL): Credential | undefined {
  return settings.type === 'http' && files.token !== undefined ? bearerOf(url.origin, files.token) : undefined;
}

/** The last segment of the path. The path is valid UTF-8, as `parseUrl` requires. */
function nameOf({ pathname }: URL): string {
  const name = decodeURIComponent(pathname.slice(pathname.lastIndexOf('/') + 1));
  return isFilePath(name) ? name : 'file';
}
