/** The exit statuses of the process, as in sysexits.h. A clean shutdown exits with 0. */
export const exitStatus = {
  /** EX_USAGE: invalid usage. */
  usage: 64,
  /** EX_NOINPUT: a file that the command needs cannot be read. */
  noInput: 66,
  /** EX_UNAVAILABLE: no usable GPU at start. */
  unavailable: 69,
  /** EX_SOFTWARE: the GPU, its context or its driver is lost, or the worker has a defect. A supervisor must restart it. */
  lost: 70,
  /** EX_OSERR: the memory could not be wiped at shutdown. */
  unwiped: 71,
  /** EX_CANTCREAT: a file or a folder of the worker cannot be created or written. */
  cannotCreate: 73,
  /** EX_IOERR: the worker cannot listen, a file system hangs at start, or a command cannot write its output. */
  ioError: 74,
  /** EX_TEMPFAIL: the shutdown exceeded its deadline. */
  late: 75,
  /** EX_CONFIG: invalid configuration. */
  config: 78,
} as const;

/** Ends the process with a status. The message is for the operator. */
export class ExitError extends Error {
  override readonly name = 'ExitError';
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
