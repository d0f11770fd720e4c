import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

/** A pull as the API shows it. */
export interface FakePull {
  pull_id: string;
  state: string;
  model_ref: string | null;
  bytes: number;
  received_bytes: number;
  fetched_bytes: number;
  bytes_per_second: number;
  remaining_seconds: number | null;
  files: FakeFile[];
  problem: object | null;
}

export interface FakeFile {
  path: string;
  shard_id: string;
  state: string;
  bytes: number;
  received_bytes: number;
  attempts: number;
  last_problem: object | null;
}

export const fakeFile = (path: string, changes: Partial<FakeFile> = {}): FakeFile => ({
  ...{ path, shard_id: 'm-0', state: 'receiving', bytes: 1000, received_bytes: 0, attempts: 1, last_problem: null },
  ...changes,
});

export const fakeProblem = (code: string, status: number, changes: object = {}) => ({
  ...{ type: 'about:blank', title: code, status, detail: `Detail of ${code}`, instance: 'about:blank', code },
  ...{ retriable: false, ...changes },
});

/**
 * A server with the routes of pulls, whose pulls advance as a test says. For what a real worker does only at some moment:
 * connections that end, events that do not come, and times between two states.
 */
export class FakePulls {
  readonly #server: Server;
  readonly #streams = new Set<ServerResponse>();
  readonly #waiters = new Set<() => void>();
  readonly pulls = new Map<string, FakePull>();
  /** `METHOD path`, in order. */
  readonly requests: string[] = [];
  /** The header of each request. */
  readonly authorizations: (string | undefined)[] = [];
  readonly bodies: Record<string, unknown>[] = [];
  /** How `/events` responds. */
  events: 'stream' | 'missing' | 'silent' | 'cut' = 'stream';
  /** The state of a new pull. */
  first: Partial<FakePull> = {};
  /** Answers every request with this problem. */
  refusal: { status: number; headers?: Record<string, string> } | undefined;
  #revision = 0;
  url = '';

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(t: Pick<Test, 'teardown'>, port = 0): Promise<FakePulls> {
    const fake = new FakePulls();
    await fake.listen(port);
    t.teardown(() => fake.die());
    return fake;
  }

  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve) => void this.#server.listen(port, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends all connections, and accepts none. */
  die(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** Ends the streams of events. */
  cut(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  get only(): FakePull {
    const [pull] = this.pulls.values();
    if (pull === undefined) throw new Error('there is no pull');
    return pull;
  }

  get hasStreams(): boolean {
    return this.#streams.size > 0;
  }

  /** Changes the only pull, and sends an event. */
  change(changes: Partial<FakePull>, event = 'progress'): void {
    const { only } = this;
    Object.assign(only, changes);
    this.#revision += 1;
    for (const stream of this.#streams) {
      stream.write(`event: ${event}\ndata: ${JSON.stringify(only)}\n\n`);
      if (event === 'end') stream.end();
    }
    for (const wake of this.#waiters) wake();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://x');
    this.requests.push(`${request.method} ${pathname}`);
    this.authorizations.push(request.headers.authorization);
    if (this.refusal !== undefined) return this.#refuse(response, this.refusal.status, this.refusal.headers);
    if (request.method === 'POST') return this.#create(await textOf(request), response);
    if (pathname === '/v1/shards') return this.#send(response, 200, { shards: [], next_cursor: null });
    const [, pullId = '', action] = /^\/v1\/pulls\/([^/]+)(?:\/(events))?$/.exec(pathname) ?? [];
    const pull = this.pulls.get(pullId);
    if (pull === undefined) return this.#refuse(response, 404);
    if (request.method === 'DELETE') return this.#cancel(pull, response);
    if (action === 'events') return this.#stream(pull, response);
    if (searchParams.has('wait_seconds') && request.headers['if-none-match'] === this.#etag) await this.#change();
    this.#send(response, 200, pull);
  }

  #create(text: string, response: ServerResponse): void {
    const body: Record<string, unknown> = JSON.parse(text);
    this.bodies.push(body);
    const pull: FakePull = {
      ...{ pull_id: String(body.pull_id), state: 'receiving', model_ref: 'm', bytes: 1000, received_bytes: 0 },
      ...{ fetched_bytes: 0, bytes_per_second: 0, remaining_seconds: null, files: [fakeFile('m.gguf')], problem: null },
      ...this.first,
    };
    this.pulls.set(pull.pull_id, pull);
    this.#send(response, 202, pull);
  }

  #cancel(pull: FakePull, response: ServerResponse): void {
    this.#send(response, 202, pull);
    setImmediate(() => this.change({ state: 'cancelled', problem: fakeProblem('PULL_CANCELLED', 409) }, 'end'));
  }

  #stream(pull: FakePull, response: ServerResponse): void {
    if (this.events === 'missing') return void this.#refuse(response, 404);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    if (this.events === 'silent') return;
    response.write(`event: snapshot\ndata: ${JSON.stringify(pull)}\n\n`);
    this.#streams.add(response);
    response.on('close', () => this.#streams.delete(response));
    if (this.events === 'cut') setImmediate(() => response.destroy());
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiters.delete(wake);
        resolve();
      };
      this.#waiters.add(wake);
    });
  }

  get #etag(): string {
    return `"${this.#revision}"`;
  }

  #send(response: ServerResponse, status: number, body: object): void {
    response.writeHead(status, { 'content-type': 'application/json', etag: this.#etag }).end(JSON.stringify(body));
  }

  #refuse(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
    const code = new Map([
      [401, 'AUTH_FAILED'],
      [404, 'NOT_FOUND'],
      [429, 'TOO_MANY_PULLS'],
      [503, 'STARTING'],
    ]).get(status);
    const problem = fakeProblem(code ?? 'INTERNAL', status, { retriable: status >= 429, retry_after_ms: 50 });
    response.writeHead(status, { 'content-type': 'application/problem+json', ...headers }).end(JSON.stringify(problem));
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
