import type { Connection } from './connection.js';

/**
 * - `idle`: no request is in progress.
 * - `busy`: a request is in progress.
 * - `unread`: the client does not read its response.
 */
export type ConnectionKind = 'idle' | 'busy' | 'unread';

/** Connections under one limit. The sets keep the order in which connections joined them. */
export class ConnectionPool {
  readonly #limit: number;
  readonly #kinds = new Map<Connection, ConnectionKind>();
  readonly #unread = new Set<Connection>();
  readonly #idle = new Set<Connection>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#kinds.size;
  }

  get isFull(): boolean {
    return this.size >= this.#limit;
  }

  get counts(): Readonly<Record<ConnectionKind, number>> {
    const [idle, unread] = [this.#idle.size, this.#unread.size];
    return { idle, busy: this.size - idle - unread, unread };
  }

  /** The connection to close for a new one, and why. Undefined if all are busy. */
  victim(): readonly [Connection, 'unread' | 'idle'] | undefined {
    const [unread] = this.#unread;
    if (unread !== undefined) return [unread, 'unread'];
    const [idle] = this.#idle;
    return idle === undefined ? undefined : [idle, 'idle'];
  }

  add(connection: Connection, kind: ConnectionKind): void {
    this.#kinds.set(connection, kind);
    this.#setOf(kind)?.add(connection);
  }

  move(connection: Connection, kind: ConnectionKind): void {
    const previous = this.#kinds.get(connection);
    if (previous === undefined || previous === kind) return;
    this.#setOf(previous)?.delete(connection);
    this.add(connection, kind);
  }

  remove(connection: Connection): void {
    const kind = this.#kinds.get(connection);
    if (kind !== undefined) this.#setOf(kind)?.delete(connection);
    this.#kinds.delete(connection);
  }

  #setOf(kind: ConnectionKind): Set<Connection> | undefined {
    if (kind === 'busy') return undefined;
    return kind === 'idle' ? this.#idle : this.#unread;
  }
}
