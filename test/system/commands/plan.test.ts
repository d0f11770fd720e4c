import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ggufFile } from '../../support/gguf.js';
import { run, startProcess, temporaryDirectory } from '../../support/process.js';

t.test('a plan says whether a model fits, and what its files are', async (t) => {
  const directory = temporaryDirectory(t);
  const env = { WORKER_MODEL_DIR: directory, CUDA_SIM_DEVICES: '64MiB' };
  const worker = await startProcess(t, directory, env);
  writeFileSync(join(directory, 'm.gguf'), ggufFile());
  writeFileSync(join(directory, 'bad.gguf'), 'GGUF\u0009');
  writeFileSync(join(directory, 'large.bin'), Buffer.alloc(80 * 1024 ** 2));
  const ask = async (...args: readonly string[]) => {
    const { exited, output, errors } = run(t, directory, ['plan', ...args], { VRAM_WORKER_URL: worker.url });
    return { status: await exited, output: output(), errors: errors() };
  };
  t.match(await ask('file:m.gguf'), {
    status: 0,
    output:
      /^file:m\.gguf {2}\(may change\)\nFILE +GPU +SIZE +FORMAT +DIGEST +FROM\nm\.gguf +0 .* B {2}gguf .*\nfits: 2\.00 MiB/,
  });
  t.match((await ask('file:m.gguf', '--gpu', '0', '--json')).output, /^{"feasible":true,.*"resolved":{/);
  t.match(await ask('file:large.bin'), { status: 1, output: /does not fit: VRAM_OOM: / });
  t.match(await ask('file:bad.gguf'), {
    status: 1,
    errors: /FORMAT_INVALID: bad\.gguf: .*at byte 4.* \[rule truncated\]\. docs\/formats\.md/,
  });
  t.match(await ask('file:none.gguf'), { status: 1, errors: /NOT_FOUND: / });
  t.match(await ask('hf://org/name'), { status: 1, errors: /SOURCE_FORBIDDEN: .*WORKER_SOURCES_FILE/ });
  t.match(await ask(), { status: 64, errors: /plan takes one SOURCE/ });
});
