import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { type RawDescriptor, sha256 } from '../fake_registry.js';

export interface RegistryClientOptions {
  readonly endpoint: string;
  readonly ca: Buffer;
  /** The value of `Authorization`. */
  readonly authorization?: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

/** A manifest or an index. */
export interface Manifest {
  readonly schemaVersion: 2;
  readonly mediaType: string;
  readonly config?: RawDescriptor;
  readonly layers?: readonly RawDescriptor[];
  readonly manifests?: readonly RawDescriptor[];
}

/** Pushes artifacts with the requests of the OCI distribution specification, as ORAS does. */
export class RegistryClient {
  readonly #options: RegistryClientOptions;

  constructor(options: RegistryClientOptions) {
    this.#options = options;
  }

  async pushBlob(
    repository: string,
    content: Uint8Array,
    mediaType: string,
    annotations?: Readonly<Record<string, string>>,
  ): Promise<RawDescriptor> {
    const { headers } = await this.#send('POST', `/v2/${repository}/blobs/uploads/`, 202);
    const place = new URL(headers.location ?? '', this.#options.endpoint);
    const digest = sha256(content);
    place.searchParams.set('digest', digest);
    await this.#send('PUT', place.pathname + place.search, 201, { type: 'application/octet-stream', content });
    return { mediaType, digest, size: content.length, ...(annotations === undefined ? {} : { annotations }) };
  }

  /** Pushes a manifest or an index. Returns its descriptor. */
  async pushManifest(repository: string, tag: string, document: Manifest): Promise<RawDescriptor> {
    const content = Buffer.from(JSON.stringify(document));
    const type = document.mediaType;
    await this.#send('PUT', `/v2/${repository}/manifests/${tag}`, 201, { type, content });
    return { mediaType: type, digest: sha256(content), size: content.length };
  }

  async #send(
    method: string,
    path: string,
    expected: number,
    body?: { readonly type: string; readonly content: Uint8Array },
  ): Promise<Answer> {
    const { endpoint, ca, authorization } = this.#options;
    const headers = {
      ...(authorization === undefined ? {} : { Authorization: authorization }),
      ...(body === undefined
        ? { 'Content-Length': 0 }
        : { 'Content-Type': body.type, 'Content-Length': body.content.length }),
    };
    const { status, headers: answered } = await new Promise<Answer>((resolve, reject) => {
      const sent = request(new URL(path, endpoint), { method, ca, headers }, (response) => {
        response.resume().once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers }));
      });
      sent.once('error', reject).end(body?.content);
    });
    if (status !== expected) throw new Error(`${method} ${path}: ${status}`);
    return { status, headers: answered };
  }
}
