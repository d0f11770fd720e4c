import { execFileSync } from 'node:child_process';
import t from 'tap';
import { startProcess, temporaryDirectory, type WorkerProcess } from '../../support/process.js';
import { until } from '../../support/until.js';

/** Runs a command on a host of this name. Needs root. */
const onHost = (name: string): string[] => [
  ...['unshare', '--uts', 'sh', '-c'],
  ...['printf %s "$1" > /proc/sys/kernel/hostname && shift && exec "$@"', 'sh', name],
];

function canRenameHost(): boolean {
  const [program = '', ...args] = onHost('b\u00fcro');
  try {
    execFileSync(program, [...args, 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function readyOf({ url, authorization }: WorkerProcess) {
  const answer = await fetch(`${url}/v1/ready`, { headers: { authorization } });
  return (await answer.json()) as { worker_id: string };
}

/** Standard output and standard error arrive independently. */
const reports = (worker: WorkerProcess, text: string) =>
  until(() => (worker.output() + worker.errors()).includes(text), `the worker does not report: ${text}`);

const skip = canRenameHost() ? {} : { skip: 'only root can change the host name' };

t.test('a host name that is not a valid worker id gives a derived id and a warning', skip, async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t), {}, onHost('b\u00fcro'));
  const { worker_id: id } = await readyOf(worker);
  t.match(id, /^b-ro-[0-9a-f]{8}$/);
  await reports(worker, `the id is ${id}; set WORKER_ID`);
});

t.test('the worker starts with a Kubernetes Service named worker, and warns', async (t) => {
  const links = {
    WORKER_PORT: 'tcp://10.96.0.11:8001',
    WORKER_SERVICE_HOST: '10.96.0.11',
    WORKER_SERVICE_PORT: '8001',
  };
  const worker = await startProcess(t, temporaryDirectory(t), links);
  await reports(worker, `service links: ${Object.keys(links).join(', ')}`);
});
