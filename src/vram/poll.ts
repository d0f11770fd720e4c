import koffi from 'koffi';

const libc = koffi.load(null);

/** poll(2). Returns how many of the entries have events. `poll.async` needs the buffer kept alive until it returns. */
export const poll = libc.func('int poll(uint8_t *entries, unsigned long count, int timeout_ms)');

/** Events, include/uapi/asm-generic/poll.h. POLLERR, POLLHUP and POLLNVAL are reported without being requested. */
export const POLLIN = 0x0001;
export const POLLOUT = 0x0004;
export const POLLERR = 0x0008;
export const POLLHUP = 0x0010;
export const POLLRDHUP = 0x2000;

/** `struct pollfd`: int fd, short events, short revents. */
const pollfd = { bytes: 8, fd: 0, events: 4, revents: 6 };

/** Entries for one call. */
export const pollEntries = (count: number): Buffer => Buffer.alloc(count * pollfd.bytes);

/** Asks for events of a descriptor. */
export function setEntry(entries: Buffer, index: number, descriptor: number, events: number): void {
  entries.writeInt32LE(descriptor, index * pollfd.bytes + pollfd.fd);
  entries.writeInt16LE(events, index * pollfd.bytes + pollfd.events);
}

/** The events that the call found. */
export const eventsOfEntry = (entries: Buffer, index: number): number =>
  entries.readInt16LE(index * pollfd.bytes + pollfd.revents);
