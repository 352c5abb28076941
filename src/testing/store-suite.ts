import type { Answer, Guarantee, Query, Store } from '../store/store.ts'

/** The assertions that the cases use: `node:assert/strict` fits, and so does any like it. */
export interface Assert {
  ok(value: unknown, message?: string): void
  equal(actual: unknown, expected: unknown, message?: string): void
  deepEqual(actual: unknown, expected: unknown, message?: string): void
  rejects(promise: Promise<unknown>, expected: { name: string }): Promise<void>
}

/** A store under test. */
export interface StoreSubject {
  /** Opens a store that holds nothing. */
  open(): Promise<Store>
  /** Opens another handle on the data of `store`, as another process would. */
  second?(store: Store): Promise<Store>
  /** Closes `store` and opens its data again, as after a restart. */
  reopen?(store: Store): Promise<Store>
  /** Lets every read from now on see every write until now. Stores that are never stale omit it. */
  fresh?(): Promise<void>
  /** Drawn from by the random cases; printed when one fails. Default 1. */
  seed?: number
  /** Divides the sizes of the large cases, for stores with slow round trips. Default 1. */
  scale?: number
}

/** What a case is given. */
export interface StoreTrial {
  readonly assert: Assert
  readonly store: Store
  readonly seed: number
  readonly scale: number
  /** Another handle on the same data; the same one where the subject has no `second`. */
  second(): Promise<Store>
  reopen(): Promise<Store>
  /** Reads what every write until now has left. */
  read(query: Query, from?: Store): Promise<Answer>
}

/** What a case needs of a store beyond the port itself. */
export interface Needs {
  readonly guarantee?: Exclude<Guarantee, 'eventual'>
  readonly take?: true
  readonly subscribe?: true
  readonly reopen?: true
  readonly unitPuts?: number
}

/** One sentence about every store, and the code that checks it. */
export interface StoreCase {
  readonly name: string
  readonly needs?: Needs
  run(trial: StoreTrial): Promise<void>
}

const STRENGTH: Record<Guarantee, number> = { eventual: 0, process: 1, atomic: 2 }

/** Why the case does not apply to the store; null when it does. */
export function skipReason(
  { needs = {} }: StoreCase,
  store: Pick<Store, 'guarantee' | 'limits' | 'take' | 'subscribe'>,
  subject: Pick<StoreSubject, 'reopen'>,
): string | null {
  const { guarantee, unitPuts = 1 } = needs
  if (guarantee !== undefined && STRENGTH[store.guarantee] < STRENGTH[guarantee]) {
    return `needs the guarantee "${guarantee}", this store promises "${store.guarantee}"`
  }
  if (store.limits.unitPuts < unitPuts) {
    return `needs units of ${unitPuts} puts, this store takes ${store.limits.unitPuts}`
  }
  if (needs.take && store.take === undefined) return 'the store has no take()'
  if (needs.subscribe && store.subscribe === undefined) return 'the store has no subscribe()'
  if (needs.reopen && subject.reopen === undefined) return 'the store keeps nothing over a restart'
  return null
}

/**
 * Runs one case against a new store. Answers why it was skipped, or null when it ran and held.
 *
 * @throws what the case's assertion threw, with the seed in front.
 */
export async function runStoreCase(
  storeCase: StoreCase,
  subject: StoreSubject,
  assert: Assert,
): Promise<string | null> {
  const store = await subject.open()
  const opened = [store]
  const keep = (handle: Store): Store => {
    if (!opened.includes(handle)) opened.push(handle)
    return handle
  }
  const seed = subject.seed ?? 1
  try {
    const reason = skipReason(storeCase, store, subject)
    if (reason !== null) return reason
    await storeCase.run({
      assert,
      store,
      seed,
      scale: subject.scale ?? 1,
      second: async () => keep((await subject.second?.(store)) ?? store),
      reopen: async () => keep((await subject.reopen?.(store)) ?? store),
      read: async (query, from = store) => {
        await subject.fresh?.()
        return from.read(query)
      },
    })
    return null
  } catch (error) {
    if (error instanceof Error) error.message = `[seed ${seed}] ${error.message}`
    throw error
  } finally {
    for (const handle of opened) await handle.close()
  }
}

/**
 * Registers every case with a test runner. A case that does not apply stays visible, with its
 * reason in its name.
 *
 * @example
 * ```ts
 * await registerStoreSuite('my store', storeCases, subject, assert, { test: it, skip: it.skip })
 * ```
 */
export async function registerStoreSuite(
  title: string,
  cases: readonly StoreCase[],
  subject: StoreSubject,
  assert: Assert,
  runner: {
    test(name: string, run: () => Promise<void>): void
    skip(name: string, run: () => Promise<void>): void
  },
): Promise<void> {
  const sample = await subject.open()
  for (const storeCase of cases) {
    const reason = skipReason(storeCase, sample, subject)
    const run = async (): Promise<void> => void (await runStoreCase(storeCase, subject, assert))
    if (reason === null) runner.test(`${title}: ${storeCase.name}`, run)
    else runner.skip(`${title}: ${storeCase.name} (${reason})`, run)
  }
  await sample.close()
}
