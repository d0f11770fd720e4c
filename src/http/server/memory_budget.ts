/** A client that makes the worker keep bytes. */
export interface Holder {
  /** The client's token or network. */
  readonly owner: string;
  readonly bytes: number;
  /** Holders of one buffer share it, and it counts once. Without it, nothing is shared. */
  readonly buffer?: object | undefined;
  /** Makes the client give the bytes back. It calls `release` later or never. */
  readonly evict: () => void;
}

interface Block {
  readonly owner: string;
  readonly bytes: number;
  readonly buffer: object | undefined;
  readonly sinceMs: number;
  readonly holders: Set<Holder>;
}

/** An owner at the limit loses its own block if that is older. */
const freshMs = 2000;

/**
 * Limits the bytes that slow clients make the worker keep, in the whole process. At the limit it evicts the oldest bytes
 * of the owner that has most of them, so one owner cannot shut out the others. A single block may exceed the limit.
 */
export class MemoryBudget {
  readonly #limitBytes: number;
  readonly #blocks = new Set<Block>();
  readonly #byBuffer = new Map<object, Block>();
  readonly #byOwner = new Map<string, number>();
  #heldBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Counts the bytes until the returned function is called. Undefined if there is no room for them. */
  hold(holder: Holder): (() => void) | undefined {
    const block = this.#shared(holder) ?? this.#create(holder);
    if (block === undefined) return undefined;
    block.holders.add(holder);
    return () => {
      block.holders.delete(holder);
      if (block.holders.size === 0) this.#remove(block);
    };
  }

  #shared({ buffer }: Holder): Block | undefined {
    return buffer === undefined ? undefined : this.#byBuffer.get(buffer);
  }

  #create({ owner, bytes, buffer }: Holder): Block | undefined {
    while (this.#heldBytes > 0 && this.#heldBytes + bytes > this.#limitBytes) {
      const victim = this.#victim(owner, bytes);
      if (victim === undefined) return undefined;
      this.#remove(victim);
      for (const { evict } of victim.holders) evict();
    }
    const block = { owner, bytes, buffer, sinceMs: performance.now(), holders: new Set<Holder>() };
    this.#blocks.add(block);
    if (buffer !== undefined) this.#byBuffer.set(buffer, block);
    this.#add(owner, bytes);
    return block;
  }

  /** The oldest block of the largest owner. A block of the same owner must be older than a moment. */
  #victim(owner: string, bytes: number): Block | undefined {
    let [largest, most] = [owner, (this.#byOwner.get(owner) ?? 0) + bytes];
    for (const [other, held] of this.#byOwner) if (held > most) [largest, most] = [other, held];
    for (const block of this.#blocks) {
      if (block.owner !== largest) continue;
      return largest !== owner || performance.now() - block.sinceMs > freshMs ? block : undefined;
    }
    return undefined;
  }

  #remove(block: Block): void {
    if (!this.#blocks.delete(block)) return;
    if (block.buffer !== undefined) this.#byBuffer.delete(block.buffer);
    this.#add(block.owner, -block.bytes);
  }

  #add(owner: string, bytes: number): void {
    this.#heldBytes += bytes;
    const held = (this.#byOwner.get(owner) ?? 0) + bytes;
    if (held === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, held);
  }
}
