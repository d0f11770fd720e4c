// Forked by leaks.test.ts: a worker on a free port that reports its resources to its parent.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import koffi from 'koffi';
import { pino } from 'pino';
import { loadConfig } from '../../../dist/config/load.js';
import { nativePaths } from '../../../dist/config/native_paths.js';
import { buildApp } from '../../../dist/http/app.js';
import { PullQueue } from '../../../dist/pulls/pull_queue.js';
import { Residency } from '../../../dist/residency/residency.js';

const simulator = koffi.load(fileURLToPath(new URL('../../../cuda/build/libcuda_sim.so', import.meta.url)));
const live = simulator.func('uint64_t cuSimLive(const char *creator)');

const config = await loadConfig(process.env, { simulate: true, directory: process.cwd() });
const lost = (error) => {
  throw error;
};
const residency = new Residency({ ...config, ...nativePaths(config), attach: false, onLost: lost });
const pulls = new PullQueue({ groups: residency.groups, filesAtOnce: config.pullFiles, queueLimit: config.pullQueue });
const app = await buildApp({ residency, pulls, config, logger: pino({ level: 'silent' }) });
await residency.start();

const openConnections = promisify((done) => app.server.getConnections(done));

/** The resources of this process. The memory of the simulated devices is shared memory, and not counted. */
async function figures() {
  // A connection whose client has its answer closes a moment later.
  for (const deadline = performance.now() + 60_000; (await openConnections()) > 0; await sleep(5)) {
    if (performance.now() > deadline) throw new Error('a connection stayed open for 60 s');
  }
  for (let round = 0; round < 3; round++) {
    globalThis.gc();
    await new Promise(setImmediate);
  }
  const status = readFileSync('/proc/self/status', 'utf8');
  const kibibytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
  return {
    ownBytes: (kibibytes('VmRSS') - kibibytes('RssShmem')) * 1024,
    descriptors: readdirSync('/proc/self/fd').length,
    handles: Number(live('*')),
    threads: readdirSync('/proc/self/task').length,
  };
}

process.on('message', async () => process.send(await figures()));
process.on('disconnect', () => process.exit());
process.send(await app.listen({ host: '127.0.0.1', port: 0 }));
