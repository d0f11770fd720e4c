import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkHandle } from './handle.mjs';
import { freePort, startServer, timeProcess, untilAnswers } from './processes.mjs';

/** @typedef {import('./content.mjs').Content} Content */
/** @typedef {import('./workspace.mjs').Workspace} Workspace */

const main = new URL('../dist/main.cjs', import.meta.url).pathname;
const workerId = 'bench';
const jsonType = ['-H', 'Content-Type: application/json'];
let started = 0;

/** Command and environment of the product. The device is simulated unless `env` names a token file. */
export function workerCommand(directory, port, env = {}) {
  const simulated = env.WORKER_API_TOKEN_FILE === undefined;
  return {
    args: [main, 'serve', ...(simulated ? ['--simulate'] : [])],
    options: {
      cwd: directory,
      env: {
        PATH: process.env.PATH,
        CUDA_SIM_DEVICES: '24GiB',
        CUDA_SIM_ENGINE: 'fast',
        WORKER_ID: workerId,
        WORKER_BIND_ADDR: `127.0.0.1:${port}`,
        WORKER_REQUESTS_PER_SECOND: '1000000',
        ...env,
      },
    },
  };
}

/** Command and environment of a keeper. */
export function keeperCommand(directory, settings) {
  return { args: [main, 'keep'], options: { cwd: directory, env: { PATH: process.env.PATH, ...settings } } };
}

/** The product in its own process. Checks every response, so that a time counts only with a correct result. */
export class Worker {
  /**
   * @param {Workspace} workspace @param {Record<string, string>} env extra environment variables
   * @param {string} directory working directory; a worker in that of an earlier one has its token
   * @returns {Promise<Worker>}
   */
  static async start(workspace, env = {}, directory = workspace.make(`worker-${++started}`)) {
    const port = await freePort();
    const { args, options } = workerCommand(directory, port, { WORKER_MODEL_DIR: workspace.models, ...env });
    const server = startServer(process.execPath, args, options);
    const url = `http://127.0.0.1:${port}`;
    await untilAnswers(`${url}/readyz`, server);
    const tokenFile = env.WORKER_API_TOKEN_FILE ?? join(directory, '.worker', 'token');
    return new Worker(url, readFileSync(tokenFile, 'utf8').trim(), server);
  }

  constructor(url, token, server) {
    this.url = url;
    this.token = token;
    this.authorization = `Bearer ${token}`;
    this.pid = server.pid;
    this.stop = server.stop;
    this.kill = server.kill;
  }

  /** `curl -T FILE`. @param {string} shardId @param {Content} content @returns {Promise<number>} seconds */
  async upload(shardId, content, flat = true) {
    const query = new URLSearchParams({ shard_id: shardId, model_ref: 'bench', ...claims(content, flat) });
    const { seconds, answer } = await this.#curl(['-T', content.path, `${this.url}/v1/commit?${query}`], 201);
    this.checkCommit(answer, content, flat);
    return seconds;
  }

  /** A commit by reference. @param {string} shardId @param {Content} content @returns {Promise<number>} seconds */
  async file(shardId, content, flat = true) {
    const source = { type: 'file', path: content.name };
    const fields = { ...claims(content, flat), ...(flat ? {} : { flat_digest: false }) };
    const body = JSON.stringify({ shard_id: shardId, model_ref: 'bench', ...fields, source });
    const { seconds, answer } = await this.#curl([...jsonType, '-d', body, `${this.url}/v1/commit`], 201);
    this.checkCommit(answer, content, flat);
    return seconds;
  }

  /** A commit of a remote source. @param {string} shardId @param {Content} content @returns {Promise<number>} seconds */
  async source(shardId, content, source, flat = true) {
    const fields = { ...claims(content, flat), ...(flat ? {} : { flat_digest: false }) };
    const body = JSON.stringify({ shard_id: shardId, model_ref: 'bench', ...fields, source });
    const { seconds, answer } = await this.#curl([...jsonType, '-d', body, `${this.url}/v1/commit`], 201);
    this.checkCommit(answer, content, flat);
    return seconds;
  }

  /**
   * @param {string} shardId
   * @returns {Promise<{ seconds: number, requestSeconds: number, report: any }>} times of the curl process and of its request
   */
  async verify(shardId) {
    const { seconds, requestSeconds, answer } = await this.#curl(
      ['-X', 'POST', `${this.url}/v1/shards/${shardId}/verify`],
      200,
    );
    return { seconds, requestSeconds, report: answer };
  }

  /** @param {string} shardId */
  async release(shardId) {
    const { status } = await fetch(`${this.url}/v1/shards/${shardId}`, {
      method: 'DELETE',
      headers: { authorization: this.authorization },
    });
    assert.equal(status, 204, `release of ${shardId}`);
  }

  /** @param {string} path @returns {Promise<string>} the body of a successful response */
  async get(path) {
    const answer = await fetch(this.url + path, { headers: { authorization: this.authorization } });
    assert.equal(answer.status, 200, path);
    return answer.text();
  }

  /** Throws unless the response and its handle have the content's digests. */
  checkCommit({ handle, shard }, content, flat = true) {
    const digest = flat ? `sha256:${content.digest}` : null;
    const expected = { digest, tree_digest: `sha256:${content.treeDigest}`, vram_bytes: content.bytes };
    for (const [field, value] of Object.entries(expected)) assert.equal(shard[field], value, `shard.${field}`);
    assert.equal(shard.state, 'sealed');
    checkHandle(handle, this.token, workerId, { ...expected, shard_id: shard.shard_id, iss: workerId });
  }

  async #curl(args, expectedStatus) {
    const common = ['-sS', '--noproxy', '*', '-H', `Authorization: ${this.authorization}`];
    const { seconds, output } = await timeProcess('curl', [...common, '-w', '\n%{http_code} %{time_total}', ...args]);
    const cut = output.lastIndexOf('\n');
    const [status, requestSeconds] = output
      .slice(cut + 1)
      .split(' ')
      .map(Number);
    assert.equal(status, expectedStatus, output);
    return { seconds, requestSeconds, answer: JSON.parse(output.slice(0, cut)) };
  }
}

const claims = (content, flat) =>
  flat ? { expected_digest: content.digest } : { expected_tree_digest: content.treeDigest, flat_digest: 'false' };
