import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import t, { type Test } from 'tap';
import { loadConfig } from '../../src/config/load.js';
import { readSources } from '../../src/config/sources_file.js';
import { FileCalls } from '../../src/storage/file_calls.js';
import { Authority } from '../support/certificates.js';
import { secretFile } from '../support/key_files.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

const hub = { name: 'hub', type: 'hf', endpoint: 'https://huggingface.co' };
const calls = () => new FileCalls(30);

/** Writes files, and returns the path of each. */
function write(t: Test, contents: Readonly<Record<string, string | Uint8Array>>, mode = 0o600) {
  const directory = temporaryDirectory(t);
  return Object.fromEntries(
    Object.entries(contents).map(([name, content]) => {
      const path = join(directory, name);
      writeFileSync(path, content, { mode });
      chmodSync(path, mode);
      return [name, path];
    }),
  );
}

const sourcesFile = (t: Test, ...sources: object[]): string =>
  write(t, { 'sources.json': JSON.stringify({ sources }) }, 0o644)['sources.json'] ?? '';

t.test('without the setting there is no remote source', async (t) => {
  const { sources } = await loadConfig({}, { simulate: true, directory: t.testdir() });
  t.strictSame(sources, { sources: [], paths: [] });
});

t.test('each source gets the contents of its files, and the list of paths has every one', async (t) => {
  const { certificate } = new Authority(t);
  const {
    token = '',
    s3 = '',
    docker = '',
  } = write(t, {
    token: 'hf_token\n',
    s3: JSON.stringify({ access_key_id: 'AKIA', secret_access_key: 'key', session_token: 'session' }),
    docker: JSON.stringify({ auths: { 'registry.lab': { username: 'ada', password: 'pass' } } }),
  });
  const path = sourcesFile(
    t,
    { ...hub, token_file: token, ca_file: certificate.certFile },
    { name: 'lab', type: 'oci', endpoint: 'https://registry.lab', docker_config_file: docker },
    { name: 'ceph', type: 's3', endpoint: 'http://s3.lab', region: 'x', credentials_file: s3 },
  );
  const { sources, paths } = await readSources(path, calls());
  t.strictSame([...paths].sort(), [path, token, s3, docker, certificate.certFile].sort());
  const [first, second, third] = sources;
  t.equal(first?.files.token?.reveal(), 'hf_token');
  t.ok(first?.files.ca?.equals(certificate.cert));
  t.equal(second?.files.docker?.get('registry.lab')?.password.reveal(), 'pass');
  t.strictSame(third?.files.s3?.secretAccessKey.reveal(), 'key');
  const shown = `${JSON.stringify(sources)} ${inspect(sources, { depth: 9, showHidden: true })}`;
  t.notMatch(shown, /hf_token|'key'|"key"|"pass"|'pass'|session'/);
});

t.test('each invalid file is refused, and the message names the source and the field but no value', async (t) => {
  const {
    open = '',
    empty = '',
    bad = '',
  } = {
    ...write(t, { open: 'hf_secret_value' }, 0o644),
    ...write(t, { empty: '', bad: 'secret value with spaces' }),
  };
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ ...hub, token_file: open }, /^WORKER_SOURCES_FILE: hub: token_file is readable by other users: use mode 0600/],
    [{ ...hub, token_file: empty }, /hub: token_file is not a bearer token/],
    [{ ...hub, token_file: bad }, /hub: token_file is not a bearer token/],
    [{ ...hub, token_file: '/none' }, /hub: token_file names a file that does not exist/],
    [{ ...hub, token_file: '/dev/null' }, /hub: token_file is not a file/],
    [{ ...hub, ca_file: bad }, /hub: ca_file is not a PEM certificate/],
    [
      { name: 'lab', type: 'oci', endpoint: 'https://r.lab', docker_config_file: bad },
      /lab: docker_config_file is not valid JSON/,
    ],
    [
      { name: 'c', type: 's3', endpoint: 'https://s.lab', region: 'x', credentials_file: bad },
      /c: credentials_file is not valid JSON/,
    ],
    [{ name: 'hub', type: 'hf' }, /^WORKER_SOURCES_FILE: sources\/0\/endpoint is missing$/],
    [{ ...hub, typo: 1 }, /^WORKER_SOURCES_FILE: sources\/0.*unknown field typo/],
  ];
  for (const [source, message] of cases) {
    const read = readSources(sourcesFile(t, source), calls());
    await t.rejects(read, { name: 'ConfigError', message }, JSON.stringify(source));
    await t.rejects(read, { message: /^(?!.*secret)/ });
  }
});

t.test('the file itself must be JSON without duplicate keys, and not writable by others', async (t) => {
  const { twice = '', broken = '' } = write(t, { twice: '{"sources":[],"sources":[]}', broken: '{' });
  for (const path of [twice, broken]) {
    await t.rejects(readSources(path, calls()), { message: /^WORKER_SOURCES_FILE is not valid JSON/ });
  }
  const { none = '' } = write(t, { none: '{}' });
  const noList = /^WORKER_SOURCES_FILE: must be a JSON object with an array named sources$/;
  await t.rejects(readSources(none, calls()), { message: noList });
  for (const mode of [0o666, 0o664, 0o646]) {
    const path = sourcesFile(t, hub);
    chmodSync(path, mode);
    const message = /^WORKER_SOURCES_FILE is writable by other users/;
    await t.rejects(readSources(path, calls()), { name: 'ConfigError', message }, mode.toString(8));
  }
  const directory = join(temporaryDirectory(t), 'open');
  mkdirSync(directory);
  chmodSync(directory, 0o777);
  const path = join(directory, 'sources.json');
  writeFileSync(path, '{"sources":[]}', { mode: 0o644 });
  await t.rejects(readSources(path, calls()), { message: /can be replaced by other users/ });
});

t.test(
  'the worker refuses to start with an invalid file, and its configuration has the sources of a valid one',
  async (t) => {
    const environment = (path: string) => ({
      WORKER_API_TOKEN_FILE: secretFile(t, 'x'.repeat(32)),
      WORKER_SOURCES_FILE: path,
    });
    const options = { simulate: false, directory: '/nowhere' };
    await t.rejects(loadConfig(environment('/none'), options), {
      message: 'WORKER_SOURCES_FILE names a file that does not exist',
    });
    const config = await loadConfig(environment(sourcesFile(t, hub)), options);
    t.strictSame(
      config.sources.sources.map(({ settings }) => settings.name),
      ['hub'],
    );
  },
);
