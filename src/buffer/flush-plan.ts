/** What a flush does, written down before it is done when one unit of the store is too small. */
import { putBytes } from '../store/commit-rules.ts'
import type { Limits, Put } from '../store/store.ts'

export interface FlushPlan {
  readonly nonce: string
  /** The jobs that come out, then what is dropped. */
  readonly puts: readonly Put[]
}

/** What a buffer's record says: who flushed it last, and how far a flush has come that goes on. */
export interface BufferGuard {
  /** Null: there is no record yet. */
  readonly version: string | null
  /** Made anew for each flush, so that it knows its own writing again. */
  readonly nonce: string
  /** Puts of the plan that are done; null: no flush is under way. */
  readonly done: number | null
}

export const BUFFER_PLACE = 'k/buffer'
export const PLAN_PART = 'plan'
const BUFFER_FORMAT = 1

export function decodeGuard(stored: { version: string; head: string } | null): BufferGuard {
  if (stored === null) return { version: null, nonce: '', done: null }
  const { n, d } = JSON.parse(stored.head)
  return { version: stored.version, nonce: n, done: d ?? null }
}

/** `plan`: written (text), removed (null) or kept. */
export function putOfGuard(
  key: string,
  { version, nonce, done }: BufferGuard,
  plan?: string | null,
): Put {
  const head = JSON.stringify({ v: BUFFER_FORMAT, n: nonce, d: done ?? undefined })
  const put = { key, expect: version, place: BUFFER_PLACE, score: 0, head }
  return plan === undefined ? put : { ...put, parts: { [PLAN_PART]: plan } }
}

/** How many of the puts, from `from` on, fit in one unit beside the guard. */
export function fitting(puts: readonly Put[], from: number, limits: Limits): number {
  let bytes = GUARD_BYTES
  let count = 0
  while (from + count < puts.length && count < limits.unitPuts - 1) {
    bytes += putBytes(puts[from + count] as Put)
    if (bytes > limits.unitBytes) break
    count++
  }
  return count
}

/** More than the key and the head of a guard take. */
export const GUARD_BYTES = 2_048
