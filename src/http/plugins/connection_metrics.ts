import type { FastifyInstance } from 'fastify';
import { Counter, Gauge, type Registry } from 'prom-client';
import { type Connections, closeReasons } from '../server/connections.js';

interface Count {
  readonly count: number;
}

/** Metrics of connections and unread responses. */
export function connectionMetrics(app: FastifyInstance, registry: Registry, connections: Connections): void {
  const registers = [registry];
  new Gauge({
    name: 'vram_http_connections',
    help: 'Open connections by state: idle, busy, unread, or probe for those beyond the limit',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(connections.counts)) this.set({ state }, count);
    },
  });
  new Gauge({
    name: 'vram_http_unread_bytes',
    help: 'Bytes of large responses that clients have not read yet',
    registers,
    collect() {
      this.set(app.unreadResponseBytes);
    },
  });
  new Counter({
    name: 'vram_http_closed_connections_total',
    help: 'Connections that the worker closed to protect itself, by reason',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset();
      for (const reason of closeReasons) this.inc({ reason }, connections.closed.get(reason) ?? 0);
    },
  });
}

/** Metrics of long polls: those of `ready`, and all. */
export function longPollMetrics(registry: Registry, { waiters, slots }: Record<'waiters' | 'slots', Count>): void {
  const registers = [registry];
  new Gauge({
    name: 'vram_ready_waiters',
    help: 'Long polls of ready that wait for a change',
    registers,
    collect() {
      this.set(waiters.count);
    },
  });
  new Gauge({
    name: 'vram_long_polls',
    help: 'Long polls of ready, of the overview and of pulls that wait for a change',
    registers,
    collect() {
      this.set(slots.count);
    },
  });
}
