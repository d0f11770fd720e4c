import { chmodSync, existsSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { fileMemory, keeperClient } from '../../support/keeper.js';
import { askKeeper, keeperFiles, startKeeperProcess } from '../../support/keeper_process.js';
import { runThrough, temporaryDirectory } from '../../support/process.js';
import { until } from '../../support/until.js';

t.test('an operator lists and drops what a keeper holds', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  const keeper = await startKeeperProcess(t, files);
  t.match(await askKeeper(t, files, '--list'), { status: 0, output: '' });
  const worker = keeperClient(t, files.path, { token: files.token });
  for (const id of ['a1', 'a2', 'a3']) await worker.keep(fileMemory(id, 2));
  const { output } = await askKeeper(t, files, '--list');
  t.match(
    output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
    ['a1', 'a2', 'a3'].map((allocation_id) => ({
      ...{ worker_id: 'w', allocation_id, gpu_uuid: 'GPU-0', vram_bytes: 2_097_152, unclaimed_seconds: null },
    })),
  );
  t.match(await askKeeper(t, files, '--drop', 'a1'), { status: 0, output: 'dropped 1 allocation\n' });
  t.match(await askKeeper(t, files, '--drop', 'a1'), { status: 1, output: 'dropped 0 allocations\n' });
  t.match(await askKeeper(t, files, '--drop'), { status: 0, output: 'dropped 2 allocations\n' });
  await until(() => ['a1', 'a2', 'a3'].every((id) => worker.custody(id) === 'absent'), 'the worker did not notice');
  t.match(await askKeeper(t, files, '--list'), { status: 0, output: '' });
  keeper.child.kill('SIGTERM');
  t.equal(await keeper.exited, 0);
  t.notOk(existsSync(files.path), 'the socket is removed');
});

t.test('without a keeper, the commands exit with status 69', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  for (const option of ['--list', '--drop']) {
    t.match(await askKeeper(t, files, option), { status: 69, errors: /cannot be reached \(ENOENT\)/ }, option);
  }
  await startKeeperProcess(t, files);
  writeFileSync(files.env.WORKER_KEEPER_TOKEN_FILE ?? '', 'x'.repeat(32));
  // The keeper reads the file again within a second: this one is not the keeper's.
  const other = { ...files, env: { ...files.env, WORKER_KEEPER_TOKEN_FILE: join(files.directory, 'other') } };
  writeFileSync(other.env.WORKER_KEEPER_TOKEN_FILE, 'y'.repeat(32), { mode: 0o600 });
  t.match(await askKeeper(t, other, '--list'), { status: 69, errors: /The token is invalid/ });
});

t.test('invalid usage exits with status 64, and names the option', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--hold-seconds', '0'], /--hold-seconds must be an integer from 1/],
    [['--hold-seconds', '1.5'], /--hold-seconds must be an integer/],
    [['--hold-seconds', '99999999999'], /--hold-seconds must be an integer/],
    [['--hold-seconds'], /--hold-seconds/],
    [['--unknown'], /--unknown/],
    [['--list', '--drop'], /one of --hold-seconds, --list and --drop/],
    [['--drop', 'a', 'b'], /unexpected argument b/],
    [['x'], /unexpected argument x/],
  ];
  for (const [args, message] of cases) {
    t.match(await askKeeper(t, files, ...args), { status: 64, errors: message }, args.join(' '));
  }
});

t.test('a keeper refuses to start with invalid settings, and says which', async (t) => {
  const directory = temporaryDirectory(t);
  const { env, path } = keeperFiles(directory);
  const start = async (changes: NodeJS.ProcessEnv, through: readonly string[] = []) => {
    const { exited, errors } = runThrough(t, { directory, args: ['keep'], env: { ...env, ...changes }, through });
    return [await exited, errors()];
  };
  t.match(await start({ WORKER_KEEPER_SOCKET: undefined }), [78, /WORKER_KEEPER_SOCKET is not set/]);
  t.match(await start({ WORKER_KEEPER_TOKEN_FILE: undefined }), [78, /WORKER_KEEPER_TOKEN_FILE is not set/]);
  t.match(await start({ WORKER_TYPO: '1' }), [78, /unknown setting WORKER_TYPO/]);
  t.match(await start({ WORKER_KEEPER_TOKEN_FILE: join(directory, 'none') }), [
    78,
    /TOKEN_FILE names a file that does not exist/,
  ]);
  const short = join(directory, 'short');
  writeFileSync(short, 'short', { mode: 0o600 });
  t.match(await start({ WORKER_KEEPER_TOKEN_FILE: short }), [78, /TOKEN_FILE must hold at least/]);
  chmodSync(env.WORKER_KEEPER_TOKEN_FILE ?? '', 0o644);
  t.match(await start({}), [78, /TOKEN_FILE is readable by other users/]);
  chmodSync(env.WORKER_KEEPER_TOKEN_FILE ?? '', 0o600);
  chmodSync(directory, 0o777);
  t.match(await start({}), [78, /WORKER_KEEPER_/]);
  chmodSync(directory, 0o770);
  t.match(await start({}), [78, /WORKER_KEEPER_SOCKET.*others must not write it/]);
  chmodSync(directory, 0o700);
  t.match(await start({}, ['prlimit', '--nofile=500:500']), [78, /limit of open files is too low/]);
  writeFileSync(path, '');
  t.match(await start({}), [78, /WORKER_KEEPER_SOCKET: .* is not a socket/]);
  rmSync(path);
  symlinkSync(join(directory, 'elsewhere'), path);
  t.match(await start({}), [78, /is not a socket/]);
  rmSync(path);
  const foreign = createServer().listen(path);
  await new Promise((resolve) => foreign.once('listening', resolve));
  t.match(await start({}), [78, /in use by another process/]);
  t.ok(existsSync(path));
  foreign.close();
});
