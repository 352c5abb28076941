import type { DenoKv, DenoKvAtomic, DenoKvCheck, DenoKvKey } from './database.ts'

/** What Deno takes in one atomic operation; how many checks depends on who is asked. */
const CAPS = {
  mutations: 1_000,
  /** Keys of what is set or summed. */
  keyBytes: 81_920,
  /** All keys, those of what is set or summed twice, and all values. */
  bytes: 819_200,
} as const
/** Bytes of one value. */
export const VALUE_BYTES = 65_536
/** Of that, what the mark of a lane takes. */
const LANE: Size = { checks: 0, mutations: 1, keyBytes: 128, bytes: 512 }
const SUM_BYTES = 8
/** Where a sum wraps, so that this less one takes one away. */
const WRAP = 2n ** 64n

type Cap = 'checks' | keyof typeof CAPS
type Size = Record<Cap, number>
type Mutation = (operation: DenoKvAtomic) => void

/** Checks and mutations that are committed together or not at all. */
export class AtomicWrite {
  readonly #checks = new Map<string, DenoKvCheck>()
  readonly #mutations: Mutation[] = []
  readonly #sums = new Map<string, { readonly key: DenoKvKey; by: number }>()
  readonly #size: Size = { checks: 0, mutations: 0, keyBytes: 0, bytes: 0 }
  #deletes = 0
  #longestValue = 0

  check(key: DenoKvKey, versionstamp: string | null): void {
    const name = `${versionstamp} ${key.join('\0')}`
    if (this.#checks.has(name)) return
    this.#checks.set(name, { key, versionstamp })
    this.#size.checks++
    this.#size.bytes += sizeOf(key)
  }

  set(key: DenoKvKey, value: Uint8Array, options: { expireIn?: number } = {}): void {
    this.#mutations.push((operation) => operation.set(key, value, options))
    this.#longestValue = Math.max(this.#longestValue, value.length)
    this.#countMutation(key, value.length)
  }

  delete(key: DenoKvKey): void {
    this.#mutations.push((operation) => operation.delete(key))
    this.#deletes++
    this.#size.mutations++
    this.#size.bytes += sizeOf(key)
  }

  /** Adds to a number, without a check and so without a conflict. */
  sum(key: DenoKvKey, by: number): void {
    const name = key.join('\0')
    const sum = this.#sums.get(name)
    if (sum !== undefined) sum.by += by
    else {
      this.#sums.set(name, { key, by })
      this.#countMutation(key, SUM_BYTES)
    }
  }

  /** Whether it fails when it is sent again. */
  get isChecked(): boolean {
    return this.#checks.size > 0
  }

  /** Entries that it sets or sums, and entries that it deletes. */
  get operations(): { writes: number; deletes: number } {
    const writes = this.#size.mutations - this.#deletes
    return { writes, deletes: this.#deletes }
  }

  /** Does the work of the other as well, if both fit into one operation; whether they do. */
  absorb(other: AtomicWrite, checksMax: number): boolean {
    const checks = [...other.#checks].filter(([name]) => !this.#checks.has(name))
    const size = added(this.#size, other.#size)
    size.checks = this.#size.checks + checks.length
    if (overCap(size, checksMax) !== null) return false
    for (const [name, check] of checks) this.#checks.set(name, check)
    for (const mutation of other.#mutations) this.#mutations.push(mutation)
    this.#deletes += other.#deletes
    for (const { key, by } of other.#sums.values()) this.sum(key, by)
    Object.assign(this.#size, size)
    return true
  }

  /** @throws TypeError that names what Deno would refuse. */
  assertFits(checksMax: number): void {
    const over = overCap(this.#size, checksMax)
    if (over !== null) {
      const { cap, max } = over
      throw new TypeError(
        `Cannot commit: a unit has ${this.#size[cap]} ${LABELS[cap]} in Deno KV, expected at most ${max}`,
      )
    }
    if (this.#longestValue > VALUE_BYTES) {
      throw new TypeError(
        `Cannot commit: a record has ${this.#longestValue} bytes without its parts, expected at most ${VALUE_BYTES}`,
      )
    }
  }

  commitTo(kv: DenoKv): ReturnType<DenoKvAtomic['commit']> {
    const operation = kv.atomic()
    operation.check(...this.#checks.values())
    for (const mutate of this.#mutations) mutate(operation)
    for (const { key, by } of this.#sums.values()) {
      if (by !== 0) operation.sum(key, by > 0 ? BigInt(by) : WRAP + BigInt(by))
    }
    return operation.commit()
  }

  #countMutation(key: DenoKvKey, valueBytes: number): void {
    const keyBytes = sizeOf(key)
    this.#size.mutations++
    this.#size.keyBytes += keyBytes
    this.#size.bytes += 2 * keyBytes + valueBytes
  }
}

const LABELS: Readonly<Record<Cap, string>> = {
  checks: 'expectations',
  mutations: 'mutations',
  keyBytes: 'bytes of keys, places and tags',
  bytes: 'bytes',
}

function added(a: Size, b: Size): Size {
  return {
    checks: a.checks + b.checks,
    mutations: a.mutations + b.mutations,
    keyBytes: a.keyBytes + b.keyBytes,
    bytes: a.bytes + b.bytes,
  }
}

function overCap(size: Size, checksMax: number): { cap: Cap; max: number } | null {
  for (const [name, most] of Object.entries({ checks: checksMax, ...CAPS })) {
    const cap = name as Cap
    const max = most - LANE[cap]
    if (size[cap] > max) return { cap, max }
  }
  return null
}

/** Bytes of a key as Deno packs it: a tag and an end for each text, eight bytes and a tag for a number. */
function sizeOf(key: DenoKvKey): number {
  return key.reduce<number>(
    (sum, part) => sum + (typeof part === 'string' ? part.length + 2 : 9),
    0,
  )
}
