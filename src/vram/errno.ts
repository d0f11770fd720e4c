import koffi from 'koffi';

/** The name of an error number, such as `EAGAIN`. By default, that of the last koffi call on this thread. */
export const errnoName = (number = koffi.errno()): string =>
  Object.entries(koffi.os.errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
