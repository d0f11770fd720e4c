import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { freePort } from '../../support/free_port.js';
import { unlessInstalled } from '../../support/installed.js';
import { main } from '../../support/paths.js';
import { faultsAfterStart, runThrough, temporaryDirectory, type WorkerProcess } from '../../support/process.js';
import { startSilent, statusOf } from '../../support/silent_process.js';
import { until } from '../../support/until.js';

async function commit({ url, authorization }: WorkerProcess, shardId = 'a'): Promise<number> {
  const path = `/v1/commit?shard_id=${shardId}&model_ref=m`;
  const answer = await fetch(url + path, { method: 'PUT', headers: { authorization }, body: patternBytes(5000) });
  return answer.status;
}

/** Lets `fillLog` send as fast as it can. */
const unlimited = { WORKER_REQUESTS_PER_SECOND: '1000000' };

/** Makes the worker log far more than a pipe and its queue hold. */
async function fillLog({ url, authorization }: WorkerProcess): Promise<void> {
  const fields = `Host: localhost\r\nAuthorization: ${authorization}\r\nX-Correlation-Id: ${'x'.repeat(128)}\r\n`;
  const request = `GET /v1/devices HTTP/1.1\r\n${fields}`;
  const dropped = /kind="request"\} [1-9]/;
  await until(async () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write(`${`${request}\r\n`.repeat(499)}${request}Connection: close\r\n\r\n`);
    await once(socket.resume(), 'close');
    return dropped.test(await (await fetch(`${url}/metrics`)).text());
  });
}

/** A named pipe with a reader that never reads. */
function unreadPipe(t: Test, directory: string): string {
  const pipe = join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const reader = spawn('sh', ['-c', 'exec 3<"$0"; exec sleep 300', pipe], { stdio: 'ignore' });
  t.teardown(() => void reader.kill('SIGKILL'));
  return pipe;
}

for (const redirection of ['>/dev/full', '>/dev/full 2>&1', '>&-', '>&- 2>&-']) {
  t.test(`with ${redirection} the worker serves, commits and stops cleanly`, async (t) => {
    const memory = temporaryDirectory(t);
    const worker = await startSilent(t, temporaryDirectory(t), redirection, { CUDA_SIM_DIR: memory });
    t.equal(await statusOf(`${worker.url}/livez`), 200);
    t.equal(await commit(worker), 201);
    worker.child.kill('SIGTERM');
    t.equal(await worker.exited, 0);
    t.notOk(readFileSync(join(memory, 'gpu0-memory.vram')).includes(patternBytes(5000)), 'the memory is wiped');
  });
}

t.test('with an unread pipe the worker serves, counts what it drops, and stops cleanly', async (t) => {
  const directory = temporaryDirectory(t);
  const worker = await startSilent(t, directory, `>'${unreadPipe(t, directory)}' 2>&1`, unlimited);
  await fillLog(worker);
  t.equal(await statusOf(`${worker.url}/livez`), 200);
  t.equal(await commit(worker), 201);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});

t.test('with an unread pipe a lost driver ends the worker with status 70', async (t) => {
  const directory = temporaryDirectory(t);
  const faults = { ...unlimited, ...faultsAfterStart('cuLaunchKernel:1=719') };
  const worker = await startSilent(t, directory, `>'${unreadPipe(t, directory)}'`, faults);
  await fillLog(worker);
  t.equal(await commit(worker), 500);
  t.equal(await worker.exited, 70);
});

t.test(
  'when a full disk has room again, the log continues with whole lines and the number of dropped ones',
  async (t) => {
    const disk = temporaryDirectory(t);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], { stdio: 'ignore' });
    } catch {
      return void t.pass('skipped: only root can mount a disk');
    }
    t.teardown(() => execFileSync('umount', ['-l', disk]));
    const [log, ballast] = [join(disk, 'log'), join(disk, 'ballast')];
    writeFileSync(ballast, Buffer.alloc(40_960));
    const worker = await startSilent(t, temporaryDirectory(t), `>'${log}'`, unlimited);
    await fillLog(worker);
    t.equal(await commit(worker), 201);
    execFileSync('mount', ['-o', 'remount,size=64m', disk]);
    rmSync(ballast);
    const report = /"dropped":\{"unauthenticated":\d+,"request":[1-9]/;
    await until(() => report.test(readFileSync(log, 'utf8')), 'the log has the number of dropped lines');
    const lines = readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{'));
    t.doesNotThrow(() => lines.map((line) => JSON.parse(line)), 'every line is whole');
    worker.child.kill('SIGTERM');
    t.equal(await worker.exited, 0);
  },
);

t.test('a flood of wrong tokens writes 20 lines a second', async (t) => {
  const directory = temporaryDirectory(t);
  const worker = await startSilent(t, directory, '>log');
  const text = () => readFileSync(join(directory, 'log'), 'utf8');
  const beganMs = performance.now();
  for (let n = 0; n < 20; n++) {
    const requests = Array.from({ length: 50 }, () =>
      statusOf(`${worker.url}/v1/devices`, { authorization: 'Bearer x' }),
    );
    t.notOk((await Promise.all(requests)).some((status) => status !== 401 && status !== 429));
  }
  const seconds = (performance.now() - beganMs) / 1000;
  const lines = text().match(/"status":(401|429)/g)?.length ?? 0;
  t.ok(lines <= 20 * (Math.ceil(seconds) + 1), `${lines} lines in ${seconds} s`);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});

/** Gives a worker a terminal of its own, closes it when the worker responds, and stops the worker. */
const terminalScript = `
import os, pty, signal, sys, time, urllib.request
url, command = sys.argv[1], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
for _ in range(600):
    try:
        urllib.request.urlopen(url + '/readyz').read()
        break
    except OSError:
        time.sleep(0.05)
os.close(terminal)
for _ in range(20):
    time.sleep(0.02)
    assert urllib.request.urlopen(url + '/livez').status == 200
os.kill(pid, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

t.test('a closed terminal does not disturb the worker', unlessInstalled('python3'), async (t) => {
  const port = await freePort();
  const command = [process.execPath, main, 'serve', '--simulate'];
  const env = { PATH: process.env.PATH, CUDA_SIM_DEVICES: '64MiB', WORKER_BIND_ADDR: `127.0.0.1:${port}` };
  const child = spawn('python3', ['-c', terminalScript, `http://127.0.0.1:${port}`, ...command], {
    cwd: temporaryDirectory(t),
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.equal(
    Buffer.concat(await child.stdout.toArray())
      .toString()
      .trim(),
    '0',
    'the exit status of the worker',
  );
});

t.test('a command whose output cannot be written has status 74', async (t) => {
  const through = ['sh', '-c', 'exec "$0" "$@" >/dev/full'];
  const { exited } = runThrough(t, { directory: temporaryDirectory(t), args: ['--help'], through });
  t.equal(await exited, 74);
});
