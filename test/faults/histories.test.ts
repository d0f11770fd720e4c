import fc from 'fast-check';
import t from 'tap';
import { answers, play } from './histories/play.js';
import { history, type Step } from './histories/steps.js';
import { World } from './histories/world.js';
import { scale, seeded } from './scale.js';

// Read by the simulator when the first worker starts. The worker uses 10 MiB of each device itself, which leaves
// 6 granules and 4 granules.
process.env.CUDA_SIM_DEVICES = '22MiB,18MiB';
process.env.CUDA_SIM_ENGINE = 'fast';

t.test('worker and reference model agree on every random history, and no byte is allocated twice', async (t) => {
  const world = new World();
  t.teardown(() => world.end());
  const histories = scale(100, 10_000);
  const played = new Map<Step['do'], number>();
  const property = fc.asyncProperty(history, async (steps) => {
    await world.begin();
    for (const step of steps) {
      await play(world, step);
      await world.compare();
      played.set(step.do, (played.get(step.do) ?? 0) + 1);
    }
  });
  await fc.assert(property, { numRuns: histories, ...seeded() });
  const steps = [...played].map(([name, count]) => `${count} ${name}`).join(', ');
  t.comment(`figure: histories without a divergence ${histories} of ${histories} (steps: ${steps})`);
  t.equal(played.size, 13, 'every kind of step was played');
  t.comment(`answers: ${[...answers].sort().join(', ')}`);
});
