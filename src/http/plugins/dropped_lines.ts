import { Counter, type Registry } from 'prom-client';

/** Why a log line was not written: the rate limit of requests without a valid token, or the bound of its kind. */
const droppedLineKinds = ['unauthenticated', 'request', 'worker', 'error'] as const;
export type DroppedLineKind = (typeof droppedLineKinds)[number];

type Counts = Record<DroppedLineKind, number>;

const noLines = (): Counts => ({ unauthenticated: 0, request: 0, worker: 0, error: 0 });

/** Counts the log lines that were not written. */
export class DroppedLines {
  readonly #total = noLines();
  #unreported = noLines();

  add(kind: DroppedLineKind): void {
    this.#total[kind] += 1;
    this.#unreported[kind] += 1;
  }

  /** The lines since the last call. Undefined if there are none. */
  takeUnreported(): Readonly<Counts> | undefined {
    const counts = this.#unreported;
    if (Object.values(counts).every((count) => count === 0)) return undefined;
    this.#unreported = noLines();
    return counts;
  }

  /** Adds the metric. */
  register(registry: Registry): void {
    const total = this.#total;
    new Counter({
      name: 'vram_log_lines_dropped_total',
      help: 'Log lines that were not written, by kind',
      labelNames: ['kind'],
      registers: [registry],
      collect() {
        this.reset();
        for (const kind of droppedLineKinds) this.inc({ kind }, total[kind]);
      },
    });
  }
}
