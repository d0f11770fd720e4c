import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { Authority } from '../support/certificates.js';
import { startProcess, temporaryDirectory, type WorkerProcess } from '../support/process.js';
import { head } from '../support/raw_http.js';
import { until } from '../support/until.js';
import { scale } from './scale.js';

const shards = scale(500, 5000);

/** The memory of the worker without that of the simulated devices, in MB. */
function residentMegabytes({ child }: WorkerProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
  return (kilobytes('VmRSS') - kilobytes('RssShmem')) / 1000;
}

/** Opens a connection that sends a request and reads nothing. */
function openDeaf(t: Test, { url }: WorkerProcess, text: string, ca?: Buffer): Socket {
  const to = { host: '127.0.0.1', port: Number(new URL(url).port) };
  const socket = ca === undefined ? connect(to) : connectTls({ ...to, ca });
  t.teardown(() => socket.destroy());
  socket.on('error', () => undefined).pause();
  socket.write(text);
  return socket;
}

async function livez({ url }: WorkerProcess, ca?: Buffer): Promise<string> {
  const to = { host: '127.0.0.1', port: Number(new URL(url).port) };
  const socket = ca === undefined ? connect(to) : connectTls({ ...to, ca });
  const heard: Buffer[] = [];
  socket.on('error', () => undefined).on('data', (chunk: Buffer) => heard.push(chunk));
  socket.write(head('GET /livez', { Connection: 'close' }));
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(heard).toString();
}

const manyShards = { CUDA_SIM_DEVICES: '16GiB,16GiB', WORKER_SCRUB_SECONDS: '0', WORKER_LOG_LEVEL: 'warn' };

/** Commits shards of one byte, ten at a time. */
async function commitMany({ url, authorization }: WorkerProcess, ca?: Buffer): Promise<void> {
  const agent = ca === undefined ? new Agent({ keepAlive: true }) : new TlsAgent({ keepAlive: true, ca });
  const send = ca === undefined ? request : tlsRequest;
  const commit = (index: number) =>
    new Promise<void>((resolve, reject) => {
      const target = `${url}/v1/commit?shard_id=shard-${index}&model_ref=model`;
      const sending = send(target, { method: 'PUT', agent, headers: { authorization } }, (answer) => {
        answer.resume().once('end', resolve);
        if (answer.statusCode !== 201) reject(new Error(`${answer.statusCode}`));
      });
      sending.once('error', reject).end('x');
    });
  for (let index = 0; index < shards; index += 10) {
    await Promise.all(Array.from({ length: 10 }, (_, offset) => commit(index + offset)));
  }
  agent.destroy();
}

for (const name of ['plain', 'TLS'] as const) {
  t.test(`unread responses take a limited part of the memory (${name})`, async (t) => {
    const authority = new Authority(t);
    const { certFile, keyFile } = authority.issue('worker');
    const isTls = name === 'TLS';
    const ca = isTls ? authority.certificate.cert : undefined;
    const tls = isTls ? { WORKER_TLS_CERT_FILE: certFile, WORKER_TLS_KEY_FILE: keyFile } : {};
    const worker = await startProcess(t, temporaryDirectory(t), { ...manyShards, ...tls });
    await commitMany(worker, ca);
    const before = residentMegabytes(worker);
    const { authorization } = worker;
    let peak = before;
    for (let index = 0; index < 600; index++) {
      openDeaf(t, worker, head(`GET /v1/ready?nonce=n${index}`, { Authorization: authorization }), ca);
      await sleep(5);
      peak = Math.max(peak, residentMegabytes(worker));
    }
    await sleep(1000);
    peak = Math.max(peak, residentMegabytes(worker));
    t.match(await livez(worker, ca), / 200 OK/);
    // The limit, what OpenSSL copies of it, and the garbage of signing and serializing.
    t.ok(peak - before < 500, `${before.toFixed(0)} to ${peak.toFixed(0)} MB`);
    t.comment(`figure: memory with 600 unread responses of ${shards} shards (${name}) ${peak.toFixed(0)} MB`);
  });

  t.test(`pipelined requests take a limited part of the memory (${name})`, async (t) => {
    const authority = new Authority(t);
    const { certFile, keyFile } = authority.issue('worker');
    const isTls = name === 'TLS';
    const ca = isTls ? authority.certificate.cert : undefined;
    const tls = isTls ? { WORKER_TLS_CERT_FILE: certFile, WORKER_TLS_KEY_FILE: keyFile } : {};
    const worker = await startProcess(t, temporaryDirectory(t), { WORKER_LOG_LEVEL: 'warn', ...tls });
    const before = residentMegabytes(worker);
    const burst = Buffer.from('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2000));
    let peak = before;
    for (let index = 0; index < 100; index++) {
      const socket = openDeaf(t, worker, '', ca);
      const send = () => {
        if (!socket.destroyed && socket.writableLength < 10 * burst.length) socket.write(burst);
      };
      const timer = setInterval(send, 10);
      t.teardown(() => clearInterval(timer));
      await sleep(5);
    }
    for (let n = 0; n < 50; n++) {
      await sleep(100);
      peak = Math.max(peak, residentMegabytes(worker));
    }
    t.match(await livez(worker, ca), / 200 OK/);
    t.ok(peak - before < 400, `${before.toFixed(0)} to ${peak.toFixed(0)} MB`);
    t.comment(`figure: memory with 100 clients that pipeline requests (${name}) ${peak.toFixed(0)} MB`);
  });
}

t.test('clients that do not read lock out neither probes nor other clients', async (t) => {
  // 200 connections besides the other descriptors.
  const limited = ['prlimit', '--nofile=459:459'];
  const env = { WORKER_LOG_LEVEL: 'warn', WORKER_CONNECTIONS_PER_ADDRESS: '200' };
  const worker = await startProcess(t, temporaryDirectory(t), env, limited);
  const bundles = head('GET /docs/static/swagger-ui-bundle.js').repeat(8);
  const open = (count: number) => Array.from({ length: count }, () => openDeaf(t, worker, bundles));
  const deaf = open(100);
  await sleep(1500);
  deaf.push(...open(200));
  for (let n = 0; n < 20; n++) {
    t.match(await livez(worker), / 200 OK/);
    await sleep(50);
  }
  const { url, authorization } = worker;
  await until(async () => {
    const answer = await fetch(`${url}/v1/devices`, { headers: { authorization } }).catch(() => undefined);
    return answer?.status === 200;
  });
  t.pass('another client gets a place of one that does not read');
});
