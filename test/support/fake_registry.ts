import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Test } from 'tap';

/** A descriptor as a manifest has it. */
export interface RawDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

export const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
export const ociIndex = 'application/vnd.oci.image.index.v1+json';
export const title = 'org.opencontainers.image.title';

export const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Answers before the registry does. Returns whether it did. */
export type Intercept = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A registry in memory. It answers as the OCI distribution specification says, unless a test intercepts a request. */
export class FakeRegistry {
  readonly requests: IncomingMessage[] = [];
  intercept: Intercept = () => false;
  #port = 0;
  readonly #blobs = new Map<string, Buffer>();
  readonly #manifests = new Map<string, { readonly bytes: Buffer; readonly type: string }>();

  static async start(t: Test, address = '127.0.0.1'): Promise<FakeRegistry> {
    const registry = new FakeRegistry();
    const server = createServer((request, response) => registry.#answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, address, resolve));
    const bound = server.address();
    registry.#port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    t.teardown(() => {
      server.closeAllConnections();
      server.close();
    });
    return registry;
  }

  get port(): number {
    return this.#port;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The methods and paths so far. */
  get log(): readonly string[] {
    return this.requests.map(({ method, url }) => `${method} ${url}`);
  }

  addBlob(content: Uint8Array, mediaType: string, annotations?: Record<string, string>): RawDescriptor {
    const bytes = Buffer.from(content);
    const digest = sha256(bytes);
    this.#blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length, ...(annotations === undefined ? {} : { annotations }) };
  }

  /** Stores a manifest under a tag and under its digest, which is returned. */
  addManifest(tag: string, layers: readonly RawDescriptor[], more: Readonly<Record<string, unknown>> = {}): string {
    const config = this.addBlob(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json');
    return this.addDocument(tag, { schemaVersion: 2, mediaType: ociManifest, config, layers, ...more });
  }

  addDocument(tag: string, document: unknown, type = typeOf(document)): string {
    return this.addText(tag, typeof document === 'string' ? document : JSON.stringify(document), type);
  }

  addText(tag: string, text: string, type: string): string {
    const bytes = Buffer.from(text);
    const digest = sha256(bytes);
    for (const name of [tag, digest]) this.#manifests.set(name, { bytes, type });
    return digest;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(request);
    if (this.intercept(request, response)) return;
    const [, kind, name = ''] = /\/(manifests|blobs)\/([^/]+)$/.exec(request.url ?? '') ?? [];
    const manifest = kind === 'manifests' ? this.#manifests.get(name) : undefined;
    const blob = kind === 'blobs' ? this.#blobs.get(name) : undefined;
    if (manifest !== undefined) {
      response.setHeader('Content-Type', manifest.type).setHeader('Docker-Content-Digest', sha256(manifest.bytes));
      response.end(manifest.bytes);
    } else if (blob !== undefined) serveBlob(request, response, blob);
    else response.writeHead(404).end();
  }
}

const typeOf = (document: unknown): string =>
  typeof document === 'object' && document !== null && 'mediaType' in document
    ? String(document.mediaType)
    : ociManifest;

/** Sends a blob, or the range of it that the request names. */
export function serveBlob(request: IncomingMessage, response: ServerResponse, blob: Buffer): void {
  if (!response.hasHeader('Docker-Content-Digest')) response.setHeader('Docker-Content-Digest', sha256(blob));
  const [, first, last] = /^bytes=([0-9]+)-([0-9]+)$/.exec(request.headers.range ?? '') ?? [];
  if (first === undefined || last === undefined) {
    response.setHeader('Content-Length', blob.length).end(blob);
    return;
  }
  const end = Math.min(Number(last), blob.length - 1);
  response.writeHead(206, {
    'Content-Range': `bytes ${first}-${end}/${blob.length}`,
    'Content-Length': end - Number(first) + 1,
  });
  response.end(blob.subarray(Number(first), end + 1));
}
