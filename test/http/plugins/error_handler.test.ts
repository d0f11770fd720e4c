import fastify from 'fastify';
import { pino } from 'pino';
import t from 'tap';
import { WorkerError } from '../../../src/errors.js';
import { errorHandler } from '../../../src/http/plugins/error_handler.js';
import { logSerializers } from '../../../src/http/plugins/logging.js';

/** The plugin with routes that fail in ways that no route of the worker does. */
async function failing(error: unknown) {
  const lines: string[] = [];
  const loggerInstance = pino({ serializers: logSerializers }, { write: (line: string) => lines.push(line) });
  const app = fastify({ loggerInstance });
  await app.register(errorHandler);
  app.get('/', async () => {
    throw error;
  });
  const answer = await app.inject('/');
  await app.close();
  return { answer, log: lines.join('') };
}

t.test('an unexpected error becomes INTERNAL without its message, and is logged', async (t) => {
  const { answer, log } = await failing(new TypeError('pointer 0xdeadbeef'));
  t.equal(answer.statusCode, 500);
  t.match(answer.json(), { code: 'INTERNAL', retriable: false });
  t.notMatch(answer.body, /deadbeef|TypeError/);
  t.match(log, /TypeError.*deadbeef/);
});

t.test('a thrown value that is not an Error becomes INTERNAL', async (t) => {
  for (const thrown of ['text', 42, { statusCode: 418 }, null]) {
    const { answer } = await failing(thrown);
    t.match(answer.json(), { status: 500, code: 'INTERNAL' }, JSON.stringify(thrown));
  }
});

t.test('a WorkerError keeps its message, and failures of the worker are logged with their cause', async (t) => {
  const { answer, log } = await failing(
    new WorkerError('CUDA_ERROR', 'the driver says 719', { cause: new Error('below') }),
  );
  t.match(answer.json(), { status: 500, code: 'CUDA_ERROR', detail: 'the driver says 719' });
  t.match(log, /below/);
  const refused = await failing(new WorkerError('NOT_FOUND', 'no such shard'));
  t.notMatch(refused.log, /stack/, 'errors of the client are not logged as errors');
});
