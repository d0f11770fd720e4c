import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { Secret } from '../../src/sources/egress/secret.js';
import type { S3Settings } from '../../src/sources/settings/schema.js';
import { isSigned, type SigningKeys } from './sigv4.js';

/** An object of the server. */
export interface StoredObject {
  readonly content: Buffer;
  readonly etag?: string;
  readonly version?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request as the server received it. */
export interface S3Request {
  readonly method: string;
  readonly target: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly query: URLSearchParams;
  readonly key: string;
}

export const keys: SigningKeys = {
  accessKeyId: 'AKIAEXAMPLE',
  secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'lab-1',
  service: 's3',
};

export const credentials = {
  accessKeyId: keys.accessKeyId,
  secretAccessKey: new Secret(keys.secret),
  sessionToken: undefined,
};

/** A small S3 of one bucket. It refuses every request whose signature is not right to the byte. */
export class S3Server {
  readonly objects = new Map<string, StoredObject>();
  readonly requests: S3Request[] = [];
  /** Answers in place of the server; false leaves the request to it. */
  intercept: (request: S3Request, response: ServerResponse) => boolean = () => false;
  pageSize = 1000;
  isPathStyle = true;
  signs = true;
  #port = 0;

  static async start(t: Test, objects: Readonly<Record<string, Buffer>> = {}): Promise<S3Server> {
    const server = new S3Server();
    for (const [key, content] of Object.entries(objects)) server.put(key, content);
    const http = createServer((request, response) => server.#answer(request, response));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    t.teardown(() => {
      http.close();
      http.closeAllConnections();
    });
    const address = http.address();
    server.#port = typeof address === 'object' && address !== null ? address.port : 0;
    return server;
  }

  /** Stores an object. Returns its entity tag. */
  put(key: string, content: Buffer, more: Omit<StoredObject, 'content'> = {}): string {
    const etag = more.etag ?? `"${createHash('md5').update(content).digest('hex')}"`;
    this.objects.set(key, { content, ...more, etag });
    return etag;
  }

  get endpoint(): string {
    return `http://${this.isPathStyle ? '127.0.0.1' : 's3.test'}:${this.#port}`;
  }

  get settings(): S3Settings {
    const common = { name: 'ceph', type: 's3', endpoint: this.endpoint, region: keys.region } as const;
    return { ...common, path_style: this.isPathStyle, addresses: ['127.0.0.1'] };
  }

  #answer(incoming: IncomingMessage, response: ServerResponse): void {
    const { method = '', url: target = '' } = incoming;
    const raw = incoming.rawHeaders;
    const headers = new Map<string, string>();
    for (let at = 0; at < raw.length; at += 2) headers.set((raw[at] ?? '').toLowerCase(), raw[at + 1] ?? '');
    const [path = '', query = ''] = target.split(/\?(.*)/s);
    const encoded = this.isPathStyle ? path.replace(/^\/models\//, '') : path.slice(1);
    const request = { method, target, headers, query: new URLSearchParams(query), key: decodeURIComponent(encoded) };
    this.requests.push(request);
    if (this.intercept(request, response)) return;
    const signed = ['range', 'if-match'].filter((name) => headers.has(name));
    if (this.signs && !isSigned(request, keys, signed)) fail(response, 403, 'SignatureDoesNotMatch');
    else if (request.query.get('list-type') === '2') this.#list(request, response);
    else this.#serve(request, response);
  }

  #serve({ method, headers, key, query }: S3Request, response: ServerResponse): void {
    const object = this.objects.get(key);
    const problem = problemOf(object, headers.get('if-match'), query.get('versionId'));
    if (object === undefined || problem !== undefined) {
      fail(response, problem === 'PreconditionFailed' ? 412 : 404, problem ?? 'NoSuchKey');
      return;
    }
    const { content, etag = '', version } = object;
    const [, first, last] = /^bytes=([0-9]+)-([0-9]+)$/.exec(headers.get('range') ?? '') ?? [];
    const part = content.subarray(Number(first ?? 0), Number(last ?? content.length - 1) + 1);
    const range = first === undefined ? {} : { 'Content-Range': `bytes ${first}-${last}/${content.length}` };
    const versionHeader = version === undefined ? {} : { 'x-amz-version-id': version };
    response.writeHead(first === undefined ? 200 : 206, {
      ...{ ETag: etag, 'Content-Length': part.length },
      ...{ ...range, ...versionHeader, ...object.headers },
    });
    response.end(method === 'HEAD' ? undefined : part);
  }

  #list({ query }: S3Request, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    const found = [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    const start = Number(query.get('continuation-token')?.slice('token '.length) ?? 0);
    const next = start + this.pageSize;
    const contents = found
      .slice(start, next)
      .map((key) => `<Contents><Key>${encodeURIComponent(key).replaceAll('%20', '+')}</Key><Size>1</Size></Contents>`);
    const isTruncated = next < found.length;
    const token = isTruncated ? `<NextContinuationToken>token ${next}</NextContinuationToken>` : '';
    const flag = `<EncodingType>url</EncodingType><IsTruncated>${isTruncated}</IsTruncated>${token}`;
    response.end(`${xml}<ListBucketResult xmlns="http://s3.test/doc/">${flag}${contents.join('')}</ListBucketResult>`);
  }
}

function problemOf(object: StoredObject | undefined, tag: string | undefined, version: string | null) {
  if (object === undefined) return 'NoSuchKey';
  if (version !== null && version !== object.version) return 'NoSuchVersion';
  return tag !== undefined && tag !== object.etag ? 'PreconditionFailed' : undefined;
}

export const xml = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** Answers with an error of S3. */
export function fail(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): void {
  const body = `${xml}<Error><Code>${code}</Code><Message>hostile &lt;text&gt;</Message></Error>`;
  response.writeHead(status, { 'Content-Type': 'application/xml', ...headers });
  response.end(body);
}
