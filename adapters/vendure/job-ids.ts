/**
 * Ids of jobs as the shop's id strategy wants them. With Vendure's default every id that its API is
 * given becomes a number, or −1; with uuids it stays text, as our own ids are.
 */
import type { ID } from '@vendure/core'
import type { JobId, Random } from '../../src/main.ts'

export interface JobIds {
  /** Undefined: wherry's own. */
  readonly newId: (() => string) | undefined
  readonly runId: ((taskId: string, at: Date) => string) | undefined
  /** A job's id as Vendure is shown it. */
  shown(id: JobId | null): ID | undefined
}

/** Text, which is what ours are. */
export const TEXT_IDS: JobIds = {
  newId: undefined,
  runId: undefined,
  shown: (id) => id ?? undefined,
}

/** From here to 2081 ids have sixteen digits, so their order as text is their order as numbers. */
const EPOCH_MS = Date.UTC(2012, 0, 1)
/** 2^41 ms (69 years) of so many ids stay below 2^53, where numbers are exact. */
const IDS_PER_MS = 4_096
/** Jobs have the even ids, and occurrences of tasks the odd ones. */
const STEP = 2
const RUNS_PER_SECOND = (1_000 * IDS_PER_MS) / STEP

/**
 * Numbers in the order of their making: milliseconds, and chance within them. Two processes may draw
 * the same one; the store refuses the second, which is drawn again.
 *
 * `scope` tells systems apart that share a store.
 */
export function numericIds(now: () => number, random: Random, scope: string): JobIds {
  let last = 0
  return {
    newId: () => {
      const drawn = idAt(now()) + STEP * Math.floor((random() * IDS_PER_MS) / STEP)
      last = Math.max(drawn, last + STEP)
      return String(last)
    },
    // Occurrences lie on whole seconds. Should two tasks of one second meet, one's id is drawn.
    runId: (taskId, at) => {
      const place = hashOf(`${scope}/${taskId}`) % RUNS_PER_SECOND
      return String(idAt(at.getTime()) + STEP * place + 1)
    },
    shown: (id) => (/^\d{1,16}$/.test(String(id)) ? Number(id) : (id ?? undefined)),
  }
}

function idAt(ms: number): number {
  return (ms - EPOCH_MS) * IDS_PER_MS
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (const char of text) hash = Math.imul(hash ^ (char.codePointAt(0) as number), 0x01000193)
  return hash >>> 0
}
