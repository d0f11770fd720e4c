import { setTimeout as sleep } from 'node:timers/promises';
import createClient, { type Client } from 'openapi-fetch';
import type { components, operations, paths, UploadBody } from './api.js';
import { checked, dataOf, type Result, readinessOf } from './result.js';

type Schemas = components['schemas'];
type QueryOf<Operation extends keyof operations> = NonNullable<operations[Operation]['parameters']['query']>;

export interface WorkerClientOptions {
  /** Where the worker listens, such as `http://127.0.0.1:8001`. */
  readonly url: string;
  /** The bearer token. A function is called for each request, so it can read a token that is rotated. */
  readonly token?: string | (() => string | Promise<string>);
  /** Replaces the global `fetch`, for TLS options or a proxy. */
  readonly fetch?: (request: Request) => Promise<Response>;
}

/** Options of one request. */
export interface RequestOptions {
  readonly signal?: AbortSignal;
}

/** Between requests to a worker that is not ready. */
const retryMs = 1000;

/**
 * The HTTP API of a worker, version 1. Every method throws ApiError if the worker refuses, and the error of `fetch` if
 * it cannot be reached. Nothing is retried. `docs/api.md` describes the operations.
 */
export class WorkerClient {
  /** The client of openapi-fetch: for headers, conditional requests and routes without a method here. Does not throw. */
  readonly http: Client<paths>;

  constructor({ url, token, fetch }: WorkerClientOptions) {
    this.http = createClient<paths>({ baseUrl: url.replace(/\/+$/, ''), ...(fetch === undefined ? {} : { fetch }) });
    if (token === undefined) return;
    this.http.use({
      onRequest: async ({ request }) => {
        request.headers.set('authorization', `Bearer ${typeof token === 'function' ? await token() : token}`);
        return request;
      },
    });
  }

  /** Says whether a model fits and where. With `reserve: true` it reserves the memory. */
  async plan(body: Schemas['PlanRequest'], options: RequestOptions = {}): Promise<Schemas['Plan']> {
    return dataOf(await this.http.POST('/v1/plan', { body, ...options }));
  }

  /** Keeps reserved memory for `ttl_seconds` from now. */
  async renewReservation(id: string, body: Schemas['RenewRequest'] = {}, options: RequestOptions = {}) {
    return dataOf(await this.http.POST('/v1/reservations/{id}/renew', { params: { path: { id } }, body, ...options }));
  }

  /** Gives reserved memory back. */
  async dropReservation(id: string, options: RequestOptions = {}): Promise<void> {
    checked(await this.http.DELETE('/v1/reservations/{id}', { params: { path: { id } }, ...options }));
  }

  /** Commits a shard from a file of the worker's model directory. */
  async commit(body: Schemas['CommitRequest'], options: RequestOptions = {}): Promise<Schemas['Commit']> {
    return dataOf(await this.http.POST('/v1/commit', { body, ...options }));
  }

  /**
   * Commits a shard from bytes, such as those of `fs.openAsBlob(path)`.
   *
   * @param body if it is a stream, `query.vram_bytes` must be its length in bytes
   */
  async upload(
    query: QueryOf<'uploadShard'>,
    body: UploadBody,
    options: RequestOptions = {},
  ): Promise<Schemas['Commit']> {
    const headers = { 'content-type': 'application/octet-stream' };
    // `fetch` needs `duplex` for streams.
    const init = { params: { query }, body, headers, duplex: 'half' as const, bodySerializer: asIs, ...options };
    return dataOf(await this.http.PUT('/v1/commit', init));
  }

  /** Which sealed shards are resident. If the worker is not ready, that is an answer and not an error. */
  async ready(query: QueryOf<'ready'> = {}, options: RequestOptions = {}): Promise<Schemas['Readiness']> {
    return readinessOf(await this.http.GET('/v1/ready', { params: { query }, ...options }));
  }

  /**
   * The answer of `ready`, now and after each change. Each request waits for a change, 30 seconds by default. End it with
   * `break` or the signal.
   */
  async *watchReady(
    query: Pick<QueryOf<'ready'>, 'model_ref' | 'handles' | 'wait_seconds'> = {},
    options: RequestOptions = {},
  ): AsyncGenerator<Schemas['Readiness'], void> {
    const params = { query: { wait_seconds: 30, ...query } };
    let tag: string | null = null;
    for (;;) {
      const headers = tag === null ? {} : { 'if-none-match': tag };
      const result: Result<unknown> = await this.http.GET('/v1/ready', { params, headers, ...options });
      if (result.response.status === 304) continue;
      const answer = readinessOf(result);
      const next = result.response.headers.get('etag');
      if (next === null || next !== tag) yield answer;
      // A worker that is draining does not wait.
      if (!answer.ready) await sleep(retryMs, undefined, options);
      tag = next;
    }
  }

  /** One snapshot of the worker, its GPUs, shards, models and pulls. */
  async overview(options: RequestOptions = {}): Promise<Schemas['Overview']> {
    return dataOf(await this.http.GET('/v1/overview', { ...options }));
  }

  /** One page of the audit log, the newest entries first. Needs the operator's token. */
  async auditPage(
    query: QueryOf<'listAuditEntries'> = {},
    options: RequestOptions = {},
  ): Promise<Schemas['AuditPage']> {
    return dataOf(await this.http.GET('/v1/audit', { params: { query }, ...options }));
  }

  async shard(shardId: string, options: RequestOptions = {}): Promise<Schemas['Shard']> {
    return dataOf(await this.http.GET('/v1/shards/{shard_id}', { params: pathOf(shardId), ...options }));
  }

  /** One page of shards. */
  async listShards(query: QueryOf<'listShards'> = {}, options: RequestOptions = {}): Promise<Schemas['ShardList']> {
    return dataOf(await this.http.GET('/v1/shards', { params: { query }, ...options }));
  }

  /** All shards, page by page. */
  async *shards(query: Omit<QueryOf<'listShards'>, 'cursor'> = {}): AsyncGenerator<Schemas['Shard'], void> {
    let cursor: string | undefined;
    do {
      const page = await this.listShards({ ...query, ...(cursor === undefined ? {} : { cursor }) });
      yield* page.shards;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  /** Digests the shard's bytes on the device now. */
  async verify(shardId: string, options: RequestOptions = {}): Promise<Schemas['Verification']> {
    const params = pathOf(shardId);
    return dataOf(await this.http.POST('/v1/shards/{shard_id}/verify', { params, ...options }));
  }

  /**
   * Releases a shard: wiped, then freed. With `force=true`, processes that have it keep it until they end.
   *
   * @returns the shard if other processes still have it, otherwise undefined
   */
  async release(
    shardId: string,
    query: QueryOf<'releaseShard'> = {},
    options: RequestOptions = {},
  ): Promise<Schemas['Shard'] | undefined> {
    const params = { ...pathOf(shardId), query };
    return checked(await this.http.DELETE('/v1/shards/{shard_id}', { params, ...options }));
  }

  /** Whether a handle is authentic and current. */
  async verifyHandle(handle: string, options: RequestOptions = {}): Promise<Schemas['HandleVerdict']> {
    return dataOf(await this.http.POST('/v1/handles/verify', { body: { handle }, ...options }));
  }

  /** Pulls a whole model from a source. The same body again returns the same pull. It continues without this client. */
  async startPull(body: Schemas['PullRequest'], options: RequestOptions = {}): Promise<Schemas['Pull']> {
    return dataOf(await this.http.POST('/v1/pulls', { body, ...options }));
  }

  async pull(pullId: string, options: RequestOptions = {}): Promise<Schemas['Pull']> {
    return dataOf(await this.http.GET('/v1/pulls/{pull_id}', { params: pullPathOf(pullId), ...options }));
  }

  /**
   * Waits until a pull has ended, by requests that take up to `waitSeconds` each. A pull that failed or was canceled is an
   * answer: its `state` and `problem` say so. `signal` ends the wait, and not the pull.
   */
  async waitForPull(
    pullId: string,
    { waitSeconds = 30, ...options }: RequestOptions & { readonly waitSeconds?: number } = {},
  ): Promise<Schemas['Pull']> {
    const params = { ...pullPathOf(pullId), query: { wait_seconds: waitSeconds } };
    for (;;) {
      const pull = dataOf(await this.http.GET('/v1/pulls/{pull_id}', { params, ...options }));
      if (pull.ended_at !== null) return pull;
    }
  }

  /** One page of pulls. */
  async listPulls(query: QueryOf<'listPulls'> = {}, options: RequestOptions = {}): Promise<Schemas['PullList']> {
    return dataOf(await this.http.GET('/v1/pulls', { params: { query }, ...options }));
  }

  /** Cancels a pull. `waitForPull` resolves when everything that it held is free. */
  async cancelPull(pullId: string, options: RequestOptions = {}): Promise<Schemas['Pull']> {
    return dataOf(await this.http.DELETE('/v1/pulls/{pull_id}', { params: pullPathOf(pullId), ...options }));
  }

  async devices(options: RequestOptions = {}): Promise<Schemas['DeviceList']> {
    return dataOf(await this.http.GET('/v1/devices', { ...options }));
  }

  /** The leases of all shards. */
  async leases(options: RequestOptions = {}): Promise<Schemas['LeaseList']> {
    return dataOf(await this.http.GET('/v1/leases', { ...options }));
  }

  /** The leases of one shard. */
  async leasesOf(shardId: string, options: RequestOptions = {}): Promise<Schemas['LeaseList']> {
    return dataOf(await this.http.GET('/v1/shards/{shard_id}/leases', { params: pathOf(shardId), ...options }));
  }

  /** Closes the connection of a lease. It cannot take the memory away from the process. */
  async endLease(leaseId: string, options: RequestOptions = {}) {
    const params = { path: { lease_id: leaseId } };
    return dataOf(await this.http.DELETE('/v1/leases/{lease_id}', { params, ...options }));
  }
}

const asIs = (body: UploadBody): UploadBody => body;

const pullPathOf = (pullId: string) => ({ path: { pull_id: pullId } });

const pathOf = (shardId: string) => ({ path: { shard_id: shardId } });
