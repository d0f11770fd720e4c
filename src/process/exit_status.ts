/** The exit statuses of the process, as in sysexits.h. A clean shutdown exits with 0. */
export const exitStatus = {
  /** EX_USAGE: invalid usage. */
  usage: 64,
  /** EX_NOINPUT: a file that the command needs cannot be read. */
  noInput: 66,
  /** EX_UNAVAILABLE: no usable GPU at start. */
  unavailable: 69,
  /** EX_SOFTWARE: the GPU, its context or its driver is lost. A supervisor must restart the worker. */
  lost: 70,
  /** EX_OSERR: the memory could not be wiped at shutdown. */
  unwiped: 71,
  /** EX_TEMPFAIL: the shutdown exceeded its deadline. */
  late: 75,
  /** EX_CONFIG: invalid configuration. */
  config: 78,
} as const;
