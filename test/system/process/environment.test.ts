import { execFileSync } from 'node:child_process';
import t from 'tap';
import { startProcess, temporaryDirectory, type WorkerProcess } from '../../support/process.js';

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

const skip = canRenameHost() ? {} : { skip: 'only root can change the host name' };

t.test('a host name that is not a valid worker id gives a derived id and a warning', skip, async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t), {}, onHost('b\u00fcro'));
  const { worker_id: id } = await readyOf(worker);
  t.match(id, /^b-ro-[0-9a-f]{8}$/);
  t.match(worker.output() + worker.errors(), `the id is ${id}; set WORKER_ID`);
});

t.test('the worker starts with a Kubernetes Service named worker, and warns', async (t) => {
  const links = {
    WORKER_PORT: 'tcp://10.96.0.11:8001',
    WORKER_SERVICE_HOST: '10.96.0.11',
    WORKER_SERVICE_PORT: '8001',
  };
  const worker = await startProcess(t, temporaryDirectory(t), links);
  t.match(worker.output() + worker.errors(), `service links: ${Object.keys(links).join(', ')}`);
});
