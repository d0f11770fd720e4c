import { closeSync, fstatSync, readSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { encodeFrame, type Fields, type FieldValue, type Frame } from '../../src/ipc/frame.js';
import { FrameReader } from '../../src/ipc/frame_reader.js';
import { DescriptorLibrary } from '../../src/vram/descriptor_library.js';
import { DescriptorSocket } from '../../src/vram/descriptor_socket.js';
import { connectTo } from '../../src/vram/unix_socket.js';
import { nativeDirectory } from './simulator.js';
import { until } from './until.js';

/** ioctl_tty(2), include/uapi/asm-generic/ioctls.h. */
const FIONREAD = 0x541b;

const libc = koffi.load(null);
const shutdown = libc.func('int shutdown(int descriptor, int how)');
const ioctl = libc.func('int ioctl(int descriptor, unsigned long request, _Out_ int *value)');
const library = new DescriptorLibrary(join(nativeDirectory, 'libvram.so'));

/** What a client got. Lists have their values in order. */
export interface Received {
  readonly type: string;
  /** The first value of a key. */
  readonly get: (key: string) => string | undefined;
  readonly all: (key: string) => string[];
}

/** A client of the attach socket, in this process. */
export class AttachClient {
  readonly #socket: DescriptorSocket;
  readonly #reader = new FrameReader();
  readonly #frames: Frame[] = [];
  /** Descriptors that arrived and were not taken. */
  descriptors: number[] = [];
  isEnded = false;
  #nextId = 1;

  constructor(path: string) {
    const descriptor = connectTo(path);
    this.#socket = new DescriptorSocket(library, descriptor);
    closeSync(descriptor);
  }

  /** Connects and greets. */
  static async open(path: string, fields: Readonly<Record<string, FieldValue>> = {}): Promise<AttachClient> {
    const client = new AttachClient(path);
    client.send('hello', { version: 1, client: 'test', ...fields });
    const welcome = await client.next();
    if (welcome.type !== 'welcome') throw new Error(`refused: ${welcome.get('code')}`);
    return client;
  }

  send(type: string, fields: Readonly<Record<string, FieldValue>> = {}): void {
    this.raw(encodeFrame(type, fields));
  }

  /** Sends a frame with descriptors. */
  sendWith(type: string, fields: Readonly<Record<string, FieldValue>>, descriptors: readonly number[]): void {
    this.raw(encodeFrame(type, fields), descriptors);
  }

  /** Sends bytes, with descriptors at the first one. */
  raw(bytes: Uint8Array, descriptors: readonly number[] = []): number {
    return this.#socket.send(bytes, descriptors);
  }

  /** The next frame: an answer or an event. */
  async next(): Promise<Received> {
    await until(() => this.#receive(), 'no frame arrived');
    const frame = this.#frames.shift();
    if (frame === undefined) throw new Error('the connection ended');
    return received(frame);
  }

  /** Sends a request and returns its answer. Skips events. */
  async ask(type: string, fields: Readonly<Record<string, FieldValue>> = {}): Promise<Received> {
    const id = this.#nextId++;
    this.send(type, { id, ...fields });
    for (;;) {
      const frame = await this.next();
      if (frame.get('id') === String(id)) return frame;
    }
  }

  /** Resolves when the worker has closed the connection. Returns the last frames. */
  async ended(): Promise<Received[]> {
    await until(() => this.#receive() && this.isEnded, 'the connection did not end');
    return this.#frames.splice(0).map(received);
  }

  /** Reads memory through descriptors that arrived, which it closes. */
  takeMemory(): Buffer {
    const parts = this.descriptors.splice(0).map((descriptor) => {
      const bytes = Buffer.alloc(fstatSync(descriptor).size);
      for (let at = 0; at < bytes.length; ) at += readSync(descriptor, bytes, at, bytes.length - at, at);
      closeSync(descriptor);
      return bytes;
    });
    return Buffer.concat(parts);
  }

  /** Reads, and forgets the frames. */
  drain(): void {
    this.#receive();
    this.#frames.length = 0;
  }

  /** Bytes that have arrived and were not read. */
  get unreadBytes(): number {
    const value = [0];
    ioctl(this.#socket.descriptor, FIONREAD, value);
    return Number(value[0]);
  }

  /** Sends nothing more. */
  shutdownWriting(): void {
    shutdown(this.#socket.descriptor, 1);
  }

  /** Closes descriptors that arrived. Returns how many. */
  takeDescriptors(): number {
    const taken = this.descriptors.splice(0);
    for (const descriptor of taken) closeSync(descriptor);
    return taken.length;
  }

  close(): void {
    for (const descriptor of this.descriptors.splice(0)) closeSync(descriptor);
    this.#socket.close();
  }

  /** Whether a frame is there, or the connection has ended. */
  #receive(): boolean {
    try {
      for (;;) {
        const found = this.isEnded ? undefined : this.#socket.receive(65_536, 64);
        if (found === undefined) break;
        this.descriptors.push(...found.descriptors);
        this.#reader.push(found.bytes);
      }
    } catch {
      this.isEnded = true;
    }
    for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) this.#frames.push(frame);
    return this.#frames.length > 0 || this.isEnded;
  }
}

const received = ({ type, fields }: { type: string; fields: Fields }): Received => ({
  type,
  get: (key) => fields.find(([name]) => name === key)?.[1],
  all: (key) => fields.filter(([name]) => name === key).map(([, value]) => value),
});

/** A frame with any content. */
export function framed(content: string | Uint8Array): Buffer {
  const bytes = Buffer.from(content as string);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([length, bytes]);
}
