import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { Test } from 'tap';
import { Authority, type Certificate } from '../certificates.js';
import { describe, listTree, pathsInfo } from './api.js';
import type { HubFaults, HubRefusal } from './faults.js';
import { cachedFile, cdnFile, expired, resolveFile } from './files.js';
import { type Reply, redirect, send } from './reply.js';
import { type HubFile, type HubRepository, xetHashOf } from './repository.js';

export const hubHost = 'hub.test';
export const cdnHost = 'cdn.test';

/** A request that one of the two servers received. */
export interface HubRequest {
  readonly host: 'hub' | 'cdn';
  readonly method: string;
  readonly target: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

export interface HubOptions {
  readonly pageSize?: number;
  /** Requests without this token see no repository. */
  readonly token?: string;
}

/**
 * A hub of recorded shape: an endpoint and a CDN on two host names over TLS. It is no real hub; `@huggingface/hub` judges
 * whether its answers have the right form.
 */
export class FixtureHub {
  readonly faults: HubFaults = {};
  readonly requests: HubRequest[] = [];
  readonly #repositories = new Map<string, HubRepository>();
  readonly #renamed = new Map<string, string>();
  readonly #signed = new Map<string, HubFile>();
  readonly #options: HubOptions;
  readonly authority: Authority;
  endpoint = '';
  cdn = '';

  constructor(authority: Authority, options: HubOptions) {
    this.authority = authority;
    this.#options = options;
  }

  add(...repositories: readonly HubRepository[]): this {
    for (const repository of repositories) this.#repositories.set(repository.name, repository);
    return this;
  }

  /** The old name redirects from now on. */
  rename(from: string, to: string): void {
    this.#renamed.set(from, to);
  }

  /** Ends the validity of all signed URLs. */
  expireAll(isWanted = true): void {
    if (isWanted) this.#signed.clear();
  }

  answer(request: IncomingMessage, body: string): Reply {
    const url = new URL(request.url ?? '/', this.endpoint);
    const { authorization, range } = request.headers;
    this.requests.push({ host: 'hub', method: request.method ?? '', target: request.url ?? '', authorization, range });
    const target = this.faults.redirect?.(request.url ?? '');
    if (target !== undefined) return redirect(307, target);
    const isFile = / \/(?:api\/resolve-cache|.*\/resolve)\//.test(` ${url.pathname}`);
    const refused = refusal(isFile ? this.faults.resolve : this.faults.api);
    if (refused !== undefined) return refused;
    if (this.#options.token !== undefined && authorization !== `Bearer ${this.#options.token}`) {
      return refusal({ status: 401, message: 'Invalid username or password.' }) ?? expired;
    }
    return this.#route(url, range, body);
  }

  answerCdn(request: IncomingMessage): Reply {
    const { authorization, range } = request.headers;
    const target = request.url ?? '';
    this.requests.push({ host: 'cdn', method: request.method ?? '', target, authorization, range });
    this.faults.beforeCdn?.();
    const file = this.#signed.get(target);
    if (file === undefined) return expired;
    if (this.faults.expires === true) this.#signed.delete(target);
    return cdnFile(file, range, this.faults);
  }

  #route(url: URL, range: string | undefined, body: string): Reply {
    const form =
      /^\/api\/models\/(?<repo>[^/]+\/[^/]+|[^/]+)\/(?<verb>revision|tree|paths-info)\/(?<rev>[^/]+)$/.exec(
        url.pathname,
      ) ??
      /^\/api\/resolve-cache\/models\/(?<repo>[^/]+\/[^/]+)\/(?<rev>[^/]+)\/(?<path>.+)$/.exec(url.pathname) ??
      /^\/(?<repo>[^/]+\/[^/]+|[^/]+)\/(?<verb>resolve)\/(?<rev>[^/]+)\/(?<path>.+)$/.exec(url.pathname);
    const { repo = '', verb, rev = '', path } = form?.groups ?? {};
    const renamed = this.#renamed.get(repo);
    // Relative (huggingface_hub file_download.py, `_request_wrapper`: "redirection to a renamed repository").
    if (renamed !== undefined) return redirect(307, `${url.pathname.replace(repo, renamed)}${url.search}`);
    const repository = this.#repositories.get(repo);
    if (repository === undefined) return refusal({ status: 404, code: 'RepoNotFound' }) ?? expired;
    const commit = repository.find(decodeURIComponent(rev));
    if (commit === undefined) return refusal({ status: 404, code: 'RevisionNotFound' }) ?? expired;
    const { faults } = this;
    const api = { url, repository, commit, faults, pageSize: this.#options.pageSize ?? 1000 };
    if (verb === 'revision') return describe(api);
    if (verb === 'tree') return listTree(api);
    if (verb === 'paths-info') return pathsInfo(api, body);
    const file = commit.files.find((each) => each.path === decodeURIComponent(path ?? ''));
    if (file === undefined) return refusal({ status: 404, code: 'EntryNotFound' }) ?? expired;
    const asked = { repository, commit, file, faults, range };
    return verb === 'resolve' ? resolveFile(asked, (each) => this.#sign(each)) : cachedFile(asked);
  }

  #sign(file: HubFile): string {
    const target = `/xet-bridge-us/621ffdc036468d709f17434d/${xetHashOf(file)}?X-Amz-Expires=3600&X-Amz-Signature=${this.requests.length}`;
    this.#signed.set(target, file);
    return `${this.cdn}${target}`;
  }
}

/** Counts a refusal, and builds its answer. */
function refusal(refused: HubRefusal | undefined): Reply | undefined {
  if (refused === undefined || refused.times === 0) return undefined;
  if (refused.times !== undefined) refused.times -= 1;
  const headers = { 'X-Error-Code': refused.code, 'X-Error-Message': refused.message, ...refused.headers };
  return { status: refused.status, headers, body: '{"error":"said by the hub"}' };
}

export async function startHub(t: Test, options: HubOptions = {}): Promise<FixtureHub> {
  const authority = new Authority(t, 'hub authority');
  const certificate = authority.issue('hub', [hubHost, cdnHost]);
  const hub = new FixtureHub(authority, options);
  hub.endpoint = `https://${hubHost}:${await listen(t, certificate, (request, body) => hub.answer(request, body))}`;
  hub.cdn = `https://${cdnHost}:${await listen(t, certificate, (request) => hub.answerCdn(request))}`;
  return hub;
}

type Answer = (request: IncomingMessage, body: string) => Reply;

async function listen(t: Test, { cert, key }: Certificate, answer: Answer): Promise<number> {
  const server = createServer({ cert, key }, (request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => send(response, answer(request, body)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : 0;
}
