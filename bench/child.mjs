import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Runs one program to its end and times it from outside, from before it is started until it has ended: how every row
 * times both sides, so that what starting a process costs is counted on both.
 * @param {string} command @param {readonly string[]} args @returns {Promise<{ seconds: number, output: string }>}
 */
export function timeProcess(command, args) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let ended = 0;
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      errors += text;
    });
    child.once('error', reject);
    child.once('exit', () => {
      ended = performance.now();
    });
    child.once('close', (status) => {
      if (status === 0) resolve({ seconds: (ended - started) / 1000, output });
      else reject(new Error(`${command} ended with ${status}: ${errors || output}`));
    });
  });
}

const living = new Set();
process.once('exit', endServers);

/** Ends whatever servers are left at once: after a path that failed. */
export function endServers() {
  for (const child of living) child.kill('SIGKILL');
}

/**
 * A server in a process of its own, which dies with this one at the latest.
 * @typedef {{ pid: number, output: () => string, stop: () => Promise<void> }} ServerProcess
 * @param {string} command @param {readonly string[]} args @param {import('node:child_process').SpawnOptions} options
 * @returns {ServerProcess}
 */
export function startServer(command, args, options = {}) {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  living.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-20_000);
    });
  }
  const exited = new Promise((resolve) => child.once('close', resolve));
  child.once('close', () => living.delete(child));
  return {
    pid: child.pid ?? 0,
    output: () => output,
    stop: async () => {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(late);
    },
  };
}

/** A TCP port that was free a moment ago. @returns {Promise<number>} */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Waits until a server answers 200. @param {string} url @param {ServerProcess} server @param {HeadersInit} headers */
export async function untilAnswers(url, server, headers = {}) {
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(20)) {
    const status = await fetch(url, { headers }).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status === 200) return;
  }
  throw new Error(`no answer from ${url}: ${server.output()}`);
}
