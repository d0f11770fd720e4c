import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection, requestHead } from '../connection.mjs';
import { freePort, startServer } from '../processes.mjs';
import { alternate } from '../rounds.mjs';
import { workerCommand } from '../worker.mjs';

const token = '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef';
const app = new URL('../baselines/fastify_app.mjs', import.meta.url).pathname;

/** Time from the start of the process to the first 200 on `/v1/devices`. @param {import('../bench.mjs').Context} context */
export async function start({ options, workspace }) {
  const directory = workspace.make('start');
  const body = join(directory, 'devices.json');
  writeFileSync(join(workspace.make('start/.worker'), 'token'), token, { mode: 0o600 });
  writeFileSync(body, JSON.stringify({ devices: [] }));
  const product = (port) => workerCommand(directory, port);
  const baseline = (port) => ({ args: [app, String(port), body], options: { cwd: directory } });
  const time = (command) => async () => {
    const port = await freePort();
    const { args, options } = command(port);
    const started = performance.now();
    const server = startServer(process.execPath, args, options);
    await waitForFirstAnswer(`http://127.0.0.1:${port}`, server);
    const seconds = (performance.now() - started) / 1000;
    await server.stop();
    return seconds;
  };
  await time(product)();
  await time(baseline)();
  const samples = await alternate(2 * options.rounds, () => undefined, {
    product: time(product),
    app: time(baseline),
  });
  return [
    {
      path: 'start to the first 200 on /v1/devices',
      better: 'lower',
      product: { unit: 's', samples: samples.product },
      baseline: 'Fastify app, same plugins',
      baselineSeries: { unit: 's', samples: samples.app },
      required: 1.6,
      target: 1.15,
    },
  ];
}

async function waitForFirstAnswer(url, server) {
  const request = requestHead('GET', '/v1/devices', { authorization: `Bearer ${token}` });
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(2)) {
    const connection = await Connection.open(url).catch(() => undefined);
    const answer = await connection?.exchange(request);
    connection?.close();
    if (answer?.status === 200) return;
  }
  throw new Error(`the server did not answer within 30 s: ${server.output()}`);
}
