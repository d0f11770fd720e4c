import koffi, { type LibraryHandle } from 'koffi';
import { errorOf, status, type VramError } from './status.js';

type KoffiFunction = ReturnType<LibraryHandle['func']>;

export interface NativeReceived {
  bytes: number | bigint;
  descriptor_count: number;
  truncated: number;
}

koffi.struct('vram_received', { bytes: 'uint64_t', descriptor_count: 'uint32_t', truncated: 'uint32_t' });

/** The functions of libvram that pass descriptors. They need no CUDA driver and never block. */
export class DescriptorLibrary {
  readonly #statusName: KoffiFunction;
  readonly #functions: Readonly<Record<'vram_send' | 'vram_receive', KoffiFunction>>;

  /** @param path libvram */
  constructor(path: string) {
    const library = koffi.load(path);
    this.#statusName = library.func('const char *vram_status_name(int32_t status)');
    this.#functions = {
      vram_send: library.func(
        'int32_t vram_send(int32_t socket, const uint8_t *frame, uint64_t bytes, const int32_t *descriptors, uint32_t count, _Out_ uint64_t *sent)',
      ),
      vram_receive: library.func(
        'int32_t vram_receive(int32_t socket, uint8_t *buffer, uint64_t bytes, int32_t *descriptors, uint32_t capacity, _Out_ vram_received *received)',
      ),
    };
  }

  /** Returns false if the socket cannot take or give a byte now. @throws VramError */
  call(name: 'vram_send' | 'vram_receive', ...args: unknown[]): boolean {
    const result = Number(this.#functions[name](...args));
    if (result === status.wouldBlock) return false;
    if (result !== status.ok) throw errorOf(result, String(this.#statusName(result)), name);
    return true;
  }

  /** The error of a socket that cannot be duplicated. */
  noDescriptor(): VramError {
    return errorOf(status.socketClosed, 'no descriptor', 'fcntl');
  }
}
