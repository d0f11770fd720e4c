import fc from 'fast-check';
import t, { type Test } from 'tap';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { LeaseWorld } from './leases/history.js';
import { type StartServer, startInProcess, startOutside } from './leases/server.js';
import { type Step, stepsOf } from './leases/steps.js';
import { scale, seeded } from './scale.js';

/** Histories that one worker and its clients play. */
const historiesPerWorld = 100;

/** Starts a world for many histories, and another one after a failure, whose state is unknown. */
class Worlds {
  readonly #startServer: StartServer;
  readonly #directory: string;
  #isFirst = true;
  #current: { readonly world: LeaseWorld; readonly stop: () => Promise<void>; played: number } | undefined;

  constructor(t: Test, startServer: StartServer) {
    this.#startServer = startServer;
    this.#directory = temporaryDirectory(t);
  }

  async play(steps: readonly Step[]): Promise<void> {
    this.#current ??= await this.#start();
    try {
      await this.#current.world.play(steps);
      this.#current.played++;
    } catch (error) {
      await this.stop().catch(() => undefined);
      throw error;
    }
    if (this.#current.played === historiesPerWorld) await this.stop();
  }

  async stop(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    await current?.stop();
  }

  async #start() {
    const before = openDescriptors();
    const teardowns: (() => unknown)[] = [];
    const own = { teardown: (work: () => unknown) => teardowns.push(work) } as unknown as Pick<Test, 'teardown'>;
    const world = await LeaseWorld.start(own, this.#directory, this.#startServer);
    const stop = async () => {
      await world.stop();
      for (const teardown of teardowns) await teardown();
      // The simulator keeps the memory of its devices open from the first worker on.
      const isFirst = this.#isFirst;
      this.#isFirst = false;
      const left = () => newDescriptors(before).length;
      if (!isFirst) await until(() => left() === 0, 'descriptors are left');
    };
    return { world, stop, played: 0 };
  }
}

async function playAll(t: Test, startServer: StartServer, steps: fc.Arbitrary<readonly Step[]>, numRuns: number) {
  const worlds = new Worlds(t, startServer);
  await worlds.play([]);
  await worlds.stop();
  let count = 0;
  const startMs = performance.now();
  const property = fc.asyncProperty(steps, async (history) => {
    await worlds.play(history);
    count++;
  });
  await fc.assert(property, { numRuns, ...seeded() });
  await worlds.stop();
  const each = ((performance.now() - startMs) / count).toFixed(0);
  t.equal(count, numRuns);
  t.comment(`figure: lease histories without a divergence ${count} of ${numRuns}, ${each} ms each`);
}

t.test('the worker does what the model of leases says, in random histories', (t) =>
  playAll(t, startInProcess, stepsOf(['restart'], 80), scale(20, 10_000)),
);

t.test('processes keep their memory if the worker is killed, and the next one starts without leases', (t) =>
  playAll(t, startOutside, stepsOf(['crash', 'restart'], 20), scale(4, 300)),
);
