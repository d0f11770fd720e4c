import { readFileSync } from 'node:fs';
import t from 'tap';
import { WorkerError } from '../../../src/errors.js';
import { errorFields, withoutPaths } from '../../../src/http/plugins/error_fields.js';

function failure(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}

t.test('of a file system error only the code and the call are logged, at any depth of causes', async (t) => {
  const cause = failure(() => readFileSync('secret-name/token'));
  const outer = new WorkerError('AUDIT_UNAVAILABLE', 'The audit log cannot be written', {
    cause: new Error('write failed', { cause }),
  });
  const fields = errorFields(outer);
  t.match(fields, {
    type: 'WorkerError',
    code: 'AUDIT_UNAVAILABLE',
    message: 'The audit log cannot be written',
    cause: { message: 'write failed', cause: { code: 'ENOENT', syscall: 'open', message: 'open failed: ENOENT' } },
  });
  t.notMatch(JSON.stringify(fields), 'secret-name');
});

t.test('no error that is logged has an absolute path', async (t) => {
  const errors = [
    failure(() => readFileSync('/secret-name/token')),
    new Error("cannot open '/secret-name/with space/x': EIO"),
    new Error('cannot open "/secret-name/it\'s/x" now'),
    new Error('libvram: /secret-name/lib.so: cannot open shared object file'),
    new Error('see file:///secret-name/x.js'),
    new Error('paths=/secret-name/a,/secret-name/b'),
    '/secret-name/x',
  ];
  for (const error of errors) t.notMatch(JSON.stringify(errorFields(error)), 'secret-name');
  const { stack } = errorFields(new Error('here'));
  t.match(stack, /[( /]error_fields\.test\.[jt]s:\d+:\d+/, 'the stack names the code');
  t.notMatch(stack, process.cwd());
});

t.test('texts without an absolute path stay as they are', async (t) => {
  for (const text of ['GET and/or POST', 'http://127.0.0.1:8001/docs', 'models/a.gguf is too short', '1 / 2', 'a//b'])
    t.equal(withoutPaths(text), text);
});

t.test('a chain of causes and a long message are cut', async (t) => {
  const loop = new Error('x'.repeat(100_000));
  loop.cause = loop;
  t.ok(JSON.stringify(errorFields(loop)).length < 30_000);
});

t.test('a value that is not an error is logged as text', async (t) => {
  t.same(errorFields(null), { type: 'object', message: 'null' });
  t.same(errorFields('gone'), { type: 'string', message: 'gone' });
});
