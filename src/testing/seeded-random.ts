import type { Random } from '../clock.ts'

/** A small fast generator (mulberry32): the same seed gives the same numbers on every runtime. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A whole number from 0 to `below` − 1. */
export function randomBelow(random: Random, below: number): number {
  return Math.floor(random() * below)
}

/** One of the items. */
export function pick<T>(random: Random, items: readonly T[]): T {
  return items[randomBelow(random, items.length)] as T
}
