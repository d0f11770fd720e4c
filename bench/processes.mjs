import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const running = new Set();
process.once('exit', killServers);

/** Kills all programs that still run, because a failed path does not stop its own. */
export function killServers() {
  for (const kill of running) kill();
}

/** Ends something with the programs, unless the returned function is called before. @param {() => void} end */
export function endWithServers(end) {
  running.add(end);
  return () => running.delete(end);
}

/** A program that is killed by `killServers` until it has closed its output. */
export function spawnProgram(command, args, options) {
  const child = spawn(command, args, options);
  const hasEnded = endWithServers(() => child.kill('SIGKILL'));
  return child.once('close', hasEnded);
}

/**
 * Runs a program and measures its wall time, from before the spawn until its exit. Every row times both sides like this,
 * so that both include the cost of starting a process. The program is killed if it runs longer than `deadlineSeconds`.
 * @param {string} command @param {readonly string[]} args @returns {Promise<{ seconds: number, output: string }>}
 */
export function timeProcess(command, args, deadlineSeconds = 600) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawnProgram(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let ended = 0;
    let output = '';
    let errors = '';
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${[command, ...args].join(' ')} did not end within ${deadlineSeconds} s: ${errors || output}`));
    }, deadlineSeconds * 1000);
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
      clearTimeout(deadline);
      if (status === 0) resolve({ seconds: (ended - started) / 1000, output });
      else reject(new Error(`${command} failed with status ${status}: ${errors || output}`));
    });
  });
}

/**
 * Starts a server in its own process. It ends with this process at the latest.
 * @typedef {{ pid: number, output: () => string, stop: () => Promise<void>, kill: () => Promise<void>, exit: () => Promise<{ status: number | null }> }} ServerProcess
 * @param {string} command @param {readonly string[]} args @param {import('node:child_process').SpawnOptions} options
 * @returns {ServerProcess}
 */
export function startServer(command, args, options = {}) {
  const child = spawnProgram(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-20_000);
    });
  }
  const exited = new Promise((resolve) => child.once('close', resolve));
  return {
    pid: child.pid ?? 0,
    output: () => output,
    /** Waits longer than the worker's default drain time. */
    exit: async () => {
      child.kill('SIGTERM');
      const killTimer = setTimeout(() => child.kill('SIGKILL'), 60_000);
      await exited;
      clearTimeout(killTimer);
      return { status: child.exitCode };
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    stop: async () => {
      child.kill('SIGTERM');
      const killTimer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(killTimer);
    },
  };
}

/**
 * Finds a free TCP port below 32768, where Linux begins to choose ports for connections and for servers of port 0. This
 * assumes the default of /proc/sys/net/ipv4/ip_local_port_range.
 * @returns {Promise<number>}
 */
export async function freePort() {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(20_000, 32_000);
    const server = createServer().listen(port, '127.0.0.1');
    const error = await once(server, 'listening').then(
      () => undefined,
      (failure) => failure,
    );
    if (error?.code === 'EADDRINUSE') continue;
    if (error !== undefined) throw error;
    server.close();
    await once(server, 'close');
    return port;
  }
  throw new Error('no free port from 20000 to 31999 in 100 attempts');
}

/** Waits until a server answers 200, for 30 seconds at most. @param {string} url @param {ServerProcess} server @param {HeadersInit} headers */
export async function untilAnswers(url, server, headers = {}) {
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(20)) {
    const status = await fetch(url, { headers }).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status === 200) return;
  }
  throw new Error(`${url} did not answer 200 within 30 s: ${server.output()}`);
}
