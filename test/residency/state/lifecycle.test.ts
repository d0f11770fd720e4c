import t from 'tap';
import { WorkerError } from '../../../src/errors.js';
import {
  Lifecycle,
  lifecycleTransitions,
  type WorkerPhase,
  workerPhases,
} from '../../../src/residency/state/lifecycle.js';

/** Every allowed transition of the worker. Any other pair must be refused. */
const allowed: Readonly<Record<keyof typeof lifecycleTransitions, readonly (readonly [WorkerPhase, WorkerPhase])[]>> = {
  devicesUp: [['starting', 'ready']],
  beginLoading: [['ready', 'loading']],
  endLoading: [['loading', 'ready']],
  beginDraining: [
    ['starting', 'draining'],
    ['loading', 'draining'],
    ['ready', 'draining'],
    ['draining', 'draining'],
  ],
  stop: [
    ['starting', 'stopped'],
    ['loading', 'stopped'],
    ['ready', 'stopped'],
    ['draining', 'stopped'],
    ['stopped', 'stopped'],
  ],
};

/** A lifecycle that was brought into a phase by its own transitions. */
function inPhase(phase: WorkerPhase): Lifecycle {
  const lifecycle = new Lifecycle(() => undefined);
  if (phase === 'ready' || phase === 'loading') lifecycle.devicesUp();
  if (phase === 'loading') lifecycle.beginLoading();
  if (phase === 'draining') lifecycle.beginDraining();
  if (phase === 'stopped') lifecycle.stop();
  return lifecycle;
}

t.test('the worker changes its phase by the allowed transitions only', async (t) => {
  t.same(Object.keys(lifecycleTransitions), Object.keys(allowed));
  for (const [name, pairs] of Object.entries(allowed) as [keyof typeof allowed, (typeof allowed)['stop']][]) {
    for (const from of workerPhases) {
      const lifecycle = inPhase(from);
      t.equal(lifecycle.phase, from);
      const { revision } = lifecycle;
      const to = pairs.find((pair) => pair[0] === from)?.[1];
      if (to === undefined) {
        t.throws(() => lifecycle[name](), { code: 'INTERNAL' }, `${name} is refused while ${from}`);
        t.equal(lifecycle.phase, from, 'a refused transition changes nothing');
        t.equal(lifecycle.revision, revision);
      } else {
        lifecycle[name]();
        t.equal(lifecycle.phase, to, `${name} leads from ${from} to ${to}`);
        t.ok(lifecycle.revision > revision, 'a client of ready sees the change');
      }
    }
  }
});

t.test('a worker accepts work only if it has devices, is not ending and can write its audit log', async (t) => {
  for (const phase of ['starting', 'draining'] as const) {
    t.throws(() => inPhase(phase).requireOpen(), { code: 'STARTING' }, `the devices never came up: ${phase}`);
  }
  for (const phase of ['ready', 'loading'] as const) {
    inPhase(phase).requireOpen();
    inPhase(phase).requireStarted();
  }
  const ending = inPhase('ready');
  ending.beginDraining();
  ending.requireStarted();
  t.throws(() => ending.requireOpen(), { code: 'DRAINING' });

  const unaudited = new Lifecycle(() => {
    throw new WorkerError('AUDIT_UNAVAILABLE', 'full');
  });
  unaudited.devicesUp();
  unaudited.requireStarted();
  t.throws(() => unaudited.requireOpen(), { code: 'AUDIT_UNAVAILABLE' });
});

t.test('after the loss of the driver every request gets the error that lost it', async (t) => {
  const lifecycle = inPhase('ready');
  const error = new WorkerError('CUDA_ERROR', 'lost');
  lifecycle.loseDriver(error);
  t.equal(lifecycle.phase, 'stopped');
  t.equal(lifecycle.lossError, error);
  t.throws(() => lifecycle.requireStarted(), { code: 'CUDA_ERROR' });
  t.throws(() => lifecycle.requireOpen(), { code: 'CUDA_ERROR' });
});

t.test('a driver that is lost during startup is the reason why the worker does not start', async (t) => {
  const lifecycle = new Lifecycle(() => undefined);
  const error = new WorkerError('CUDA_ERROR', 'lost');
  lifecycle.loseDriver(error);
  t.throws(() => lifecycle.devicesUp(), error);
  t.equal(lifecycle.phase, 'stopped');
  t.throws(() => lifecycle.requireStarted(), { code: 'STARTING' });
});
