import { exitStatus } from '../../process/exit_status.js';

/** The exit statuses of the commands that use a worker, besides those of every command. */
export const clientStatus = {
  done: 0,
  /** The worker refused or failed, a verification failed, or a model does not fit. */
  failed: 1,
  /** Ctrl-C twice: the pull continues in the worker. */
  leftRunning: 3,
  /** The worker cannot be reached. */
  unreachable: exitStatus.unavailable,
  /** EX_TEMPFAIL: the same command can succeed later. */
  temporary: exitStatus.late,
  /** EX_NOPERM: the worker refused the token. */
  noPermission: 77,
  /** Canceled by SIGINT, as shells report it. */
  interrupted: 130,
  /** Canceled by SIGTERM. */
  terminated: 143,
} as const;
