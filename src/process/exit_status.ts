/** What the process ends with, as sysexits.h names it; 0 after a clean shutdown. */
export const exitStatus = {
  /** EX_USAGE: a command line that is none. */
  usage: 64,
  /** EX_NOINPUT: a file that a command is to read can not be read. */
  noInput: 66,
  /** EX_UNAVAILABLE: no usable GPU at start. */
  unavailable: 69,
  /** EX_SOFTWARE: the GPU, its context or its driver was lost. A supervisor starts a new process. */
  lost: 70,
  /** EX_OSERR: the driver would not wipe the memory at shutdown. */
  unwiped: 71,
  /** EX_TEMPFAIL: the shutdown was cut short by its deadline. */
  late: 75,
  /** EX_CONFIG: a setting that can not be. */
  config: 78,
} as const;
