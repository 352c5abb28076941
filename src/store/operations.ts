import type { Operations } from './store.ts'

export const NO_OPERATIONS: Operations = { reads: 0, writes: 0, deletes: 0, lists: 0 }

/** The sum; with a `sign` of −1 what lies between two counts. */
export function addOperations(a: Operations, b: Partial<Operations>, sign: 1 | -1 = 1): Operations {
  const { reads = 0, writes = 0, deletes = 0, lists = 0 } = b
  return {
    reads: a.reads + sign * reads,
    writes: a.writes + sign * writes,
    deletes: a.deletes + sign * deletes,
    lists: a.lists + sign * lists,
  }
}
