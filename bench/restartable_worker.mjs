import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker as Thread } from 'node:worker_threads';
import { until } from './deadline.mjs';
import { freePort, startServer, untilAnswers } from './processes.mjs';
import { workerCommand } from './worker.mjs';

const concurrentCommits = 16;
const concurrentScrapes = 16;

/** The settings of a worker for many shards, with an audit log, a manifest and a seal key that can be rotated. */
export function manyShardsSettings(workspace, directory) {
  const key = join(directory, 'key');
  writeFileSync(key, `first ${'k'.repeat(40)}\n`, { mode: 0o600 });
  const env = {
    CUDA_SIM_DEVICES: '32GiB',
    WORKER_MODEL_DIR: workspace.models,
    WORKER_SEAL_KEY_FILE: key,
    WORKER_AUDIT_LOG: join(directory, 'audit.log'),
    WORKER_MANIFEST: join(directory, 'manifest'),
  };
  return { key, env };
}

/** A worker that keeps its directory over restarts. */
export class RestartableWorker {
  static async start(directory, env) {
    const port = await freePort();
    const { args, options } = workerCommand(directory, port, env);
    const server = startServer(process.execPath, args, options);
    const url = `http://127.0.0.1:${port}`;
    await untilAnswers(`${url}/livez`, server);
    return new RestartableWorker(url, server, directory);
  }

  constructor(url, server, directory) {
    this.url = url;
    this.server = server;
    this.directory = directory;
  }

  async ask(method, path, body) {
    this.token ??= readFileSync(join(this.directory, '.worker', 'token'), 'utf8').trim();
    const headers = { authorization: `Bearer ${this.token}`, ...(body ? { 'content-type': 'application/json' } : {}) };
    const answer = await fetch(this.url + path, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
    return { status: answer.status, text: await answer.text() };
  }

  /**
   * Commits shards until there are `count`. By default each is the only one of its model.
   * @param {number} count @param {string} path @param {{ from?: number, models?: number }} options `from` is the first index
   */
  async commitAll(count, path, { from = 0, models = count } = {}) {
    let next = from;
    const commit = async () => {
      for (let index = next++; index < count; index = next++) {
        const source = { type: 'file', path };
        const body = { shard_id: `many-${index}`, model_ref: `m${index % models}`, source };
        let answer;
        await until(
          `a commit of ${body.shard_id} without 503`,
          async () => {
            answer = await this.ask('POST', '/v1/commit', body);
            return answer.status !== 503;
          },
          100,
        );
        assert.equal(answer.status, 201, answer.text);
      }
    };
    await Promise.all(Array.from({ length: concurrentCommits }, commit));
  }

  /** Measures `livez` while `work` runs. @param {number} perSecond requests @param {() => Promise<void>} work */
  async during(perSecond, work) {
    const polling = new Thread(new URL('./livez_thread.mjs', import.meta.url), {
      workerData: { url: this.url, perSecond },
    });
    await once(polling, 'message');
    const started = performance.now();
    await work();
    polling.postMessage('stop');
    const [latenciesMs] = await once(polling, 'message');
    return { latenciesMs, seconds: (performance.now() - started) / 1000 };
  }

  async poll(paths, seconds) {
    const end = performance.now() + seconds * 1000;
    const client = async (_, index) => {
      while (performance.now() < end) await this.ask('GET', paths[index % paths.length] ?? '/metrics');
    };
    await Promise.all(Array.from({ length: concurrentScrapes }, client));
  }

  async rotate(key) {
    const before = (await this.ask('GET', '/v1/shards/many-0')).status;
    assert.equal(before, 200);
    const log = join(this.directory, 'audit.log');
    writeFileSync(key, `second ${'k'.repeat(40)}\n`, { mode: 0o600 });
    process.kill(this.server.pid, 'SIGHUP');
    await untilQuiet(log);
  }

  async untilRestored(count) {
    await until(`the restore of ${count} shards`, async () => {
      const { text } = await this.ask('GET', '/metrics');
      return text.includes(`vram_shards{state="sealed"} ${count}\n`);
    });
  }

  async stop() {
    const { status } = await this.server.exit();
    assert.equal(status, 0, 'the shutdown wiped all shards within the default drain time');
  }
}

/** Resolves when a file has grown and then has not grown for a second. */
async function untilQuiet(path) {
  const start = statSync(path).size;
  let [last, quiet] = [start, 0];
  await until(`the end of writes to ${path}`, () => {
    const { size } = statSync(path);
    quiet = size === last && size > start ? quiet + 1 : 0;
    last = size;
    return quiet === 20;
  });
}
