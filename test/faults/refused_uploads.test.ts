import { execFileSync, spawn } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Authority } from '../support/certificates.js';
import { unlessInstalled } from '../support/installed.js';
import { startProcess, temporaryDirectory } from '../support/process.js';

/** Far more than the kernel buffers, and less than a slow machine sends in the 30 seconds that the worker reads on. */
const bytes = 100_000_000;
const wrong = 'wrong-token-0123456789abcdef0123456789';

const urllib = `
import os, ssl, urllib.request, urllib.error
request = urllib.request.Request(os.environ['TARGET'], open('shard', 'rb').read(), method='PUT')
request.add_header('Authorization', os.environ['AUTHORIZATION'])
request.add_header('Content-Type', 'application/octet-stream')
context = ssl.create_default_context(cafile=os.environ['CA']) if 'CA' in os.environ else None
try:
    urllib.request.urlopen(request, context=context)
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
`;

const requests = `
import os, requests
headers = {'Authorization': os.environ['AUTHORIZATION']}
answer = requests.put(os.environ['TARGET'], data=open('shard', 'rb'), headers=headers, verify=os.environ.get('CA', True))
print(answer.status_code, answer.text)
`;

const httpx = `
import os, httpx
headers = {'Authorization': os.environ['AUTHORIZATION']}
content = open('shard', 'rb').read()
answer = httpx.put(os.environ['TARGET'], content=content, headers=headers, verify=os.environ.get('CA', True), timeout=60)
print(answer.status_code, answer.text)
`;

/** Each uploads the file `shard` to TARGET, trusts CA if it is set, and prints the status and the body of the answer. */
const clients: Readonly<Record<string, string>> = {
  curl: 'curl -sS -T shard $CURL_TLS -H "Authorization: $AUTHORIZATION" "$TARGET"',
  'curl without Expect': 'curl -sS -T shard $CURL_TLS -H "Authorization: $AUTHORIZATION" -H "Expect:" "$TARGET"',
  wget:
    'wget -nv -S -O - $WGET_TLS --method=PUT --body-file=shard ' +
    '--header="Content-Type: application/octet-stream" --header="Authorization: $AUTHORIZATION" "$TARGET"',
  'python3 urllib': '"$PYTHON" -c "$urllib"',
  'python3 requests': '"$PYTHON" -c "$requests"',
  'python3 httpx': '"$PYTHON" -c "$httpx"',
};

function outputOf(cwd: string, command: string, env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', command], {
      cwd,
      env: { PATH: process.env.PATH, urllib, requests, httpx, ...env },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.once('close', () => resolve(output));
  });
}

/** Another Python may come first in PATH than the one of the system's packages. */
const pythonWith = (module: string): string | undefined =>
  ['python3', '/usr/bin/python3'].find((python) => {
    try {
      execFileSync(python, ['-c', `import ${module}`], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  });

async function tryClients(t: Test, directory: string, url: string, env: NodeJS.ProcessEnv): Promise<void> {
  writeFileSync(join(directory, 'shard'), '');
  truncateSync(join(directory, 'shard'), bytes);
  const target = `${url}/v1/commit?shard_id=a&model_ref=m`;
  for (const [name, command] of Object.entries(clients)) {
    const [program = '', module = 'os'] = name.split(' ');
    const python = pythonWith(module);
    const isMissing = program === 'python3' && python === undefined;
    const skip = isMissing ? { skip: `the Python module ${module} is not installed` } : unlessInstalled(program);
    await t.test(name, skip, async (t) => {
      const token = { AUTHORIZATION: `Bearer ${wrong}`, PYTHON: python };
      const output = await outputOf(directory, command, { TARGET: target, ...token, ...env });
      // wget prints the headers of an error alone.
      t.match(output, /"code":"AUTH_FAILED"|HTTP\/1\.1 401/);
    });
  }
}

t.test('a client that sends 100 MB with a wrong token reads the refusal', async (t) => {
  const directory = temporaryDirectory(t);
  const { url } = await startProcess(t, directory);
  await tryClients(t, directory, url, {});
});

t.test('a client that sends 100 MB over TLS with a wrong token reads the refusal', async (t) => {
  const directory = temporaryDirectory(t);
  const authority = new Authority(t);
  const { certFile, keyFile } = authority.issue('127.0.0.1');
  const { url } = await startProcess(t, directory, { WORKER_TLS_CERT_FILE: certFile, WORKER_TLS_KEY_FILE: keyFile });
  const ca = authority.certificate.certFile;
  await tryClients(t, directory, url, { CA: ca, CURL_TLS: `--cacert ${ca}`, WGET_TLS: `--ca-certificate=${ca}` });
});
