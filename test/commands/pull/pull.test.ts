import { mock } from 'node:test';
import t from 'tap';
import type { Pull } from '../../../src/commands/client/answers.js';
import { Interrupter } from '../../../src/commands/pull/interruption.js';
import { mergeEvent } from '../../../src/commands/pull/merge_event.js';
import { prefixOf, pullIdOf } from '../../../src/commands/pull/names.js';
import { pullOptions } from '../../../src/commands/pull/options.js';
import { RetryNotes } from '../../../src/commands/pull/report.js';
import { parseReference } from '../../../src/sources/reference_text.js';

t.test('the shards are named after the file or the repository', async (t) => {
  const cases = [
    ['hf://ggml-org/tinygemma3-GGUF', 'tinygemma3-GGUF'],
    ['hf://ggml-org/tinygemma3-GGUF:Q8_0', 'tinygemma3-GGUF-Q8-0'],
    ['hf://org/name@v1/sub/model-Q8_0.gguf', 'model-Q8-0'],
    ['hf://org/name/model-00001-of-00002.gguf', 'model'],
    ['oci://lab/ai/smollm2:v1', 'smollm2'],
    ['s3://models/llama/', 'llama'],
    ['s3://models/llama/m.safetensors', 'm'],
    ['https://mirror.lab/models/m.gguf?x=1', 'm'],
    ['https://mirror.lab/', 'model'],
    ['file:a/b.gguf', 'b'],
  ] as const;
  for (const [source, prefix] of cases) t.equal(prefixOf(parseReference(source)), prefix, source);
});

t.test('the id of a pull depends on all of its body, and on the attempt', async (t) => {
  t.equal(pullIdOf({ a: 1 }, 1), pullIdOf({ a: 1 }, 1));
  t.not(pullIdOf({ a: 1 }, 1), pullIdOf({ a: 2 }, 1));
  t.equal(pullIdOf({ a: 1 }, 2), `${pullIdOf({ a: 1 }, 1)}-2`);
});

t.test('the arguments become the body of the request', async (t) => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const args = [
    's3://bucket/k',
    '--name',
    'ceph',
    '--expect',
    `x=y=${digest}`,
    '--bytes-per-second',
    '5',
    '--deadline-seconds',
    '9',
  ];
  const { action, expected } = pullOptions([...args, '--digest', 'require', '--model-ref', 'm']);
  t.strictSame(action, {
    kind: 'start',
    source: { type: 's3', bucket: 'bucket', key: 'k', name: 'ceph' },
    body: {
      source: { type: 's3', bucket: 'bucket', key: 'k', name: 'ceph' },
      ...{ shard_id_prefix: 'k', model_ref: 'm', digest: 'require', bytes_per_second: 5, deadline_seconds: 9 },
    },
  });
  t.strictSame([...expected], [['x=y', digest]]);
  t.throws(() => pullOptions(['file:x', '--expect', digest, '--expect', digest]), /given twice for the file/);
  t.throws(() => pullOptions(['file:x', '--expect', digest, '--expect', `a=${digest}`]), /needs PATH=sha256/);
});

const pull: Pull = {
  ...{ pull_id: 'p', state: 'receiving', received_bytes: 1 },
  files: [{ path: 'a', shard_id: 'm-0', state: 'receiving', bytes: 9, received_bytes: 1, attempts: 1 }],
};
const event = (data: unknown) => ({ event: 'progress', data: JSON.stringify(data) });

t.test('an event changes what it has', async (t) => {
  t.match(mergeEvent(pull, event({ received_bytes: 5, files: [{ path: 'a', received_bytes: 5 }] })), {
    ...{ state: 'receiving', received_bytes: 5, files: [{ state: 'receiving', received_bytes: 5 }] },
  });
  t.match(mergeEvent(pull, event({ path: 'a', state: 'sealing' })), {
    state: 'receiving',
    files: [{ state: 'sealing' }],
  });
  const problem = { code: 'SOURCE_TIMEOUT', detail: 'No response', status: 504, retriable: true };
  const retry = (value: object) => mergeEvent(pull, { event: 'retry', data: JSON.stringify({ ...value, problem }) });
  t.match(retry({ path: 'a', attempts: 2 }), { files: [{ path: 'a', attempts: 2, last_problem: problem, bytes: 9 }] });
  t.match(retry({ path: null, attempts: null }), { last_problem: problem, files: { length: 1 } });
  t.strictSame(new RetryNotes().next(retry({ path: null })), ['retrying the source after SOURCE_TIMEOUT: No response']);
  t.same(mergeEvent(pull, { event: 'x', data: 'no JSON' }), pull);
  t.same(mergeEvent(pull, event([1])), pull);
  t.throws(() => mergeEvent(pull, event({ received_bytes: 'x' })), /unexpected event: \/received_bytes/);
});

t.test('an attempt is noted once, with its cause', async (t) => {
  const notes = new RetryNotes();
  const [file] = pull.files;
  const at = (attempts: number) => {
    const last_problem = { code: 'SOURCE_TIMEOUT', detail: 'No response', status: 504, retriable: true };
    return notes.next({ ...pull, files: file === undefined ? [] : [{ ...file, attempts, last_problem }] });
  };
  t.strictSame(
    [at(1), at(2), at(2), at(3)].map((lines) => lines.length),
    [0, 1, 0, 1],
  );
  t.match(at(4), [/^a: attempt 4 after SOURCE_TIMEOUT: No response$/]);
});

t.test('signals: one cancels after a pause, two leave the pull running', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const start = () => {
    const done: string[] = [];
    const effects = { note: () => undefined, cancel: () => done.push('cancel'), leave: () => done.push('leave') };
    return { interrupter: new Interrupter(effects), done };
  };
  const once = start();
  once.interrupter.receive('SIGINT');
  t.strictSame(once.done, []);
  mock.timers.tick(2000);
  t.strictSame(once.done, ['cancel']);
  once.interrupter.receive('SIGINT');
  t.strictSame(once.done, ['cancel', 'leave']);
  t.match(once.interrupter.state, { kind: 'left', canceled: 'SIGINT' });
  const twice = start();
  twice.interrupter.receive('SIGINT');
  twice.interrupter.receive('SIGINT');
  mock.timers.tick(5000);
  t.strictSame(twice.done, ['leave']);
  t.match(twice.interrupter.state, { kind: 'left', canceled: undefined });
  const terminated = start();
  terminated.interrupter.receive('SIGINT');
  terminated.interrupter.receive('SIGTERM');
  t.strictSame(terminated.done, ['cancel']);
  mock.timers.tick(5000);
  t.strictSame(terminated.done, ['cancel']);
});
