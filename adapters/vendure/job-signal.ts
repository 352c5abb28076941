import { AsyncLocalStorage } from 'node:async_hooks'

const signals = new AsyncLocalStorage<AbortSignal>()

/**
 * The signal of the job, or of the run of a scheduled task, that the calling code is part of: it
 * aborts when that is cancelled, runs into its timeout, loses its lease, or must make way for a
 * shutdown. Undefined outside of any.
 *
 * @example
 * ```ts
 * process: async (job) => fetch(job.data.url, { signal: jobSignal() ?? null })
 * ```
 */
export function jobSignal(): AbortSignal | undefined {
  return signals.getStore()
}

/** Runs code that `jobSignal()` belongs to. */
export function withJobSignal<T>(signal: AbortSignal, act: () => T): T {
  return signals.run(signal, act)
}
