/** What a process of the growth bench is told, and what it answers. */

export interface GrowthOrder {
  readonly url: string
  /** Jobs that still wait when a repetition ends. */
  readonly size: number
}

/** Jobs a second. */
export interface Growth {
  readonly filled: number
  readonly drained: Readonly<Record<number, readonly number[]>>
}

export const CONCURRENCIES: readonly number[] = [10, 100]
/** Jobs that a repetition runs. */
export const DRAINED = 2_000
