import koffi from 'koffi';

/** The name of the errno that the last koffi call on this thread left, such as `EAGAIN`. */
export function errnoName(): string {
  const number = koffi.errno();
  return Object.entries(koffi.os.errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
}
