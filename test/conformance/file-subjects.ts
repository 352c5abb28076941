/** The stores that keep files, for the runtimes that have them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSqliteStore } from '../../adapters/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import type { StoreSubject } from '../../src/testing/main.ts'

/** Folders of this run; they go when the process does. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export function sqliteSubject(seed: number): StoreSubject {
  const folder = temporaryFolder()
  const paths = new Map<Store, string>()
  let files = 0
  const open = (path: string): Store => {
    const store = createSqliteStore(path)
    paths.set(store, path)
    return store
  }
  return {
    open: async () => open(join(folder, `${++files}.db`)),
    second: async (store) => open(paths.get(store) as string),
    reopen: async (store) => {
      await store.close()
      return open(paths.get(store) as string)
    },
    seed,
  }
}
