import type { DrainOptions, DrainReport } from '../../../src/main.ts'
import type { Answer, Hint, Put, Query, Store } from '../../../src/store/store.ts'

/** What an object answers to a commit. */
export interface Committed {
  readonly versions: (string | null)[]
  /** Rows that this took, entries of indexes included: what is billed. */
  readonly rowsWritten: number
  /** Whether the object runs the jobs itself. */
  readonly drains: boolean
}

/** What an object answers to. */
export interface ObjectCalls {
  read(query: Query): Answer | Promise<Answer>
  commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<Committed>
  /** Null: the object has no handlers. */
  drain(options: DrainOptions): Promise<DrainReport | null>
}

/** What this store needs of a binding to {@link QueueObject}, or to a class that extends it. */
export interface ObjectNamespace {
  getByName(name: string): ObjectCalls
}

/** A store that may run its own jobs. */
export interface ObjectStore extends Store {
  /** Has the object drain; null: it has no handlers, and whoever has some must claim. */
  drain(options: DrainOptions): Promise<DrainReport | null>
}
