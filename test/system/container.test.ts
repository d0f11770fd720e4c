import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, parse as parsePath } from 'node:path';
import { Ajv, type AnySchema } from 'ajv';
import formats from 'ajv-formats';
import t from 'tap';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.js';
import { type Instruction, parseDockerfile } from '../support/dockerfile.js';
import { main, root } from '../support/paths.js';
import { startProcess, temporaryDirectory } from '../support/process.js';
import { requireTool, unlessTool } from '../support/tools.js';

// No container runs here: the files must match the Compose specification, each other and the worker's settings.

interface Service {
  readonly profiles: readonly string[];
  readonly build?: { readonly target: string };
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly stop_grace_period?: string;
  readonly [key: string]: unknown;
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
  readonly configs: Readonly<Record<string, { readonly file: string }>>;
}

const read = (path: string) => readFileSync(join(root, path), 'utf8');
const withDefaults = (text: string) => text.replace(/\$\{\w+:-([^}]*)\}/g, '$1');
const parseCompose = (path: string): Compose => parse(withDefaults(read(path)), { merge: true });
const compose = parseCompose('docker-compose.yml');
const attachCompose = parseCompose('docker-compose.attach.yml');
const stages = parseDockerfile(read('Dockerfile'));
const workers = Object.entries(compose.services).filter(([, service]) => service.build !== undefined);

/** The instructions of a stage, after those of its base stages. */
function history(name: string): readonly Instruction[] {
  const stage = stages.find((one) => one.name === name);
  return stage === undefined ? [] : [...history(stage.base), ...stage.instructions];
}
const last = (target: string, keyword: string) =>
  history(target).findLast((one) => one.keyword === keyword)?.text ?? '';
const imageSettings = (target: string): Record<string, string> =>
  Object.fromEntries(
    history(target)
      .filter((one) => one.keyword === 'ENV')
      .flatMap((one) => one.text.split(' '))
      .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );

t.test('docker-compose.yml matches the Compose specification', unlessTool('dclint/package.json'), async (t) => {
  const manifest = requireTool.resolve('dclint/package.json');
  const { $schema: _draft, ...schema } = JSON.parse(
    readFileSync(join(dirname(manifest), 'schemas', 'compose.schema.json'), 'utf8'),
  );
  const ajv = new Ajv({ strict: false, formats: { duration: /^([0-9]+(us|ms|s|m|h))+$/ } });
  formats.default(ajv, ['uri']);
  const validate = ajv.compile(schema as AnySchema);
  t.ok(validate(compose), JSON.stringify(validate.errors));
  t.ok(validate(attachCompose), JSON.stringify(validate.errors));
  t.notOk(validate({ ...compose, services: { worker: { imag: 'x' } } }), 'the schema refuses an unknown key');
});

t.test('each profile starts one worker and Prometheus', async (t) => {
  t.same(workers.map(([, { profiles, build }]) => [profiles, build?.target]).sort(), [
    [['cpu'], 'cpu'],
    [['gpu'], 'gpu'],
  ]);
  t.same(compose.services.prometheus?.profiles, ['cpu', 'gpu']);
  const { scrape_configs: jobs } = parse(read(compose.configs.prometheus?.file ?? ''));
  t.same(jobs[0].static_configs[0].targets, ['worker:8001']);
  for (const [, worker] of workers) t.match(worker.networks, { default: { aliases: ['worker'] } });
});

t.test('only the GPU worker reserves NVIDIA devices', async (t) => {
  t.match(compose.services['worker-gpu'], {
    deploy: { resources: { reservations: { devices: [{ driver: 'nvidia', count: 'all', capabilities: ['gpu'] }] } } },
  });
  t.notOk(compose.services['worker-cpu']?.deploy);
  t.equal(imageSettings('gpu').NVIDIA_DRIVER_CAPABILITIES, 'compute,utility');
});

t.test('every service has a read-only root, no capabilities, and ports on loopback only', async (t) => {
  for (const [name, service] of Object.entries(compose.services)) {
    t.match(service, { read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] }, name);
    for (const port of service.ports as string[]) t.match(port, /^127\.0\.0\.1:/, `${name} is published on loopback`);
  }
});

t.test('the token reaches the worker as a secret', async (t) => {
  for (const [name, worker] of workers) {
    t.same(worker.secrets, ['worker_token'], name);
    t.equal(worker.environment?.WORKER_API_TOKEN_FILE, '/run/secrets/worker_token', name);
  }
  t.equal(compose.secrets.worker_token?.file, './.worker/token', 'where npm start creates it');
});

t.test('the worker accepts every setting of its container', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'vram-container-'));
  const token = join(directory, 'token');
  writeFileSync(token, 'a'.repeat(64), { mode: 0o600 });
  for (const [name, worker] of workers) {
    const target = worker.build?.target ?? '';
    const settings = Object.entries({ ...imageSettings(target), ...worker.environment });
    const environment = Object.fromEntries(settings.map(([key, value]) => [key, String(value)]));
    const mounted = { ...environment, WORKER_API_TOKEN_FILE: token, WORKER_MODEL_DIR: directory };
    const config = await loadConfig(mounted, { simulate: target === 'cpu', directory });
    t.equal(config.bindHost, '0.0.0.0', `${name} can be reached from outside its container`);
    t.equal(last(target, 'EXPOSE'), String(config.bindPort), name);
    t.same(worker.ports, [`127.0.0.1:${config.bindPort}:${config.bindPort}`], name);
    t.ok(Number.parseInt(worker.stop_grace_period ?? '', 10) > config.drainSeconds, `${name} has time to drain`);
  }
});

t.test('the attach socket is on a volume whose directory only the user of the image can write', async (t) => {
  t.same(Object.keys(attachCompose.services).sort(), workers.map(([name]) => name).sort());
  for (const [name, { environment, volumes }] of Object.entries(attachCompose.services)) {
    const { dir } = parsePath(String(environment?.WORKER_ATTACH_SOCKET));
    t.same(volumes, [`attach:${dir}`], name);
    for (const target of ['cpu', 'gpu']) {
      const created = history(target).filter(({ text }) => text.endsWith(` ${dir}`));
      t.same(
        created.map(({ text }) => text),
        [`install -d -o node -g root -m 755 ${dir}`],
        target,
      );
    }
  }
});

t.test('the images run only the worker, and not as root', async (t) => {
  for (const [target, command] of [
    ['cpu', ['serve', '--simulate']],
    ['gpu', ['serve']],
  ] as const) {
    t.equal(last(target, 'USER'), '1000:1000', target);
    t.equal(last(target, 'STOPSIGNAL'), 'SIGTERM', target);
    t.same(JSON.parse(last(target, 'ENTRYPOINT')), ['node', '/app/dist/main.cjs'], target);
    t.same(JSON.parse(last(target, 'CMD')), command, target);
  }
});

/** The user and group of the image, and a user as OpenShift chooses it. */
const users = [
  ['1000', '1000'],
  ['1000660000', '0'],
] as const;
const as = (uid: string, gid: string): string[] => ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];

/** Only root can change its user, who may be unable to read the checkout. */
function canRunAsOthers(): boolean {
  try {
    for (const [uid, gid] of users) execFileSync('env', [...as(uid, gid), 'test', '-r', main], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const skip = canRunAsOthers() ? {} : { skip: 'this user cannot start a worker as another user' };

t.test('the worker writes its state with the uid of the image and with an arbitrary one', skip, async (t) => {
  const folder = last('cpu', 'WORKDIR');
  const command = history('cpu').findLast(({ text }) => text.startsWith('install -d'))?.text ?? '';
  t.ok(command.endsWith(` ${folder}`), 'the image creates its working directory');
  for (const [uid, gid] of users) {
    const parent = temporaryDirectory(t);
    chmodSync(parent, 0o755);
    const directory = join(parent, 'state');
    const [program = '', ...args] = command.replace('-o node', '-o 1000').replace(folder, directory).split(' ');
    execFileSync(program, args);
    const state = { WORKER_AUDIT_LOG: 'audit.jsonl', WORKER_MANIFEST: 'manifest.json' };
    const worker = await startProcess(t, directory, state, as(uid, gid));
    t.ok(existsSync(join(directory, 'audit.jsonl')), `uid ${uid}, gid ${gid}`);
    worker.child.kill('SIGTERM');
    t.equal(await worker.exited, 0);
  }
});

t.test('the image for GPUs requires the CUDA version that builds its kernels', async (t) => {
  const built = /^nvidia\/cuda:(\d+\.\d+)/.exec(read('Dockerfile').match(/CUDA_IMAGE=(\S+)/)?.[1] ?? '')?.[1];
  t.equal(imageSettings('gpu').NVIDIA_REQUIRE_CUDA, `"cuda>=${built}"`);
  t.notOk('NVIDIA_REQUIRE_CUDA' in imageSettings('cpu'));
});

t.test('the Dockerfile copies files that exist', async (t) => {
  const ignored = read('.dockerignore').split('\n');
  for (const [index, stage] of stages.entries()) {
    for (const { text } of stage.instructions.filter((one) => one.keyword === 'COPY')) {
      const [, from, list = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(text) ?? [];
      const sources = list.split(' ').slice(0, -1);
      if (from !== undefined) {
        t.ok(
          stages.slice(0, index).some((one) => one.name === from),
          `${from} is built before ${stage.name}`,
        );
        for (const source of sources.filter((one) => one.includes('/cuda/build/'))) {
          t.match(read('cuda/Makefile'), `$(BUILD)/${source.split('/').at(-1)}:`, `cuda/Makefile makes ${source}`);
        }
        continue;
      }
      for (const source of sources) {
        t.ok(existsSync(join(root, source)), `${source} is in the tree`);
        t.ok(ignored.includes(`!${source}`), `.dockerignore allows ${source}`);
      }
    }
  }
});

t.test('the build copies the files that it runs', async (t) => {
  const { scripts } = JSON.parse(read('package.json'));
  const instructions = history('build');
  const build = instructions.findIndex(({ keyword, text }) => keyword === 'RUN' && text.includes('npm run build'));
  const copied = instructions
    .slice(0, build)
    .filter(({ keyword }) => keyword === 'COPY')
    .flatMap(({ text }) => text.split(' ').slice(0, -1));
  const needed = String(scripts.build)
    .split(' ')
    .filter((word) => !['node', 'dist'].includes(word) && existsSync(join(root, word)));
  t.ok(needed.length >= 2, needed.join(', '));
  for (const path of needed) {
    t.ok(
      copied.some((source) => path === source || path.startsWith(`${source}/`)),
      `${path} is copied`,
    );
  }
});

t.test('the health check runs the health command of the image', async (t) => {
  for (const target of ['cpu', 'gpu']) {
    const [, command = ''] = /^.*?CMD (.*)$/.exec(last(target, 'HEALTHCHECK')) ?? [];
    t.same(JSON.parse(command), [...JSON.parse(last(target, 'ENTRYPOINT')), 'health'], target);
  }
});
