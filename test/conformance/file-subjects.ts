/** The stores that keep files, for the runtimes that have them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFsStore } from '../../adapters/store/fs.ts'
import { createSqliteStore } from '../../adapters/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import type { StoreSubject } from '../../src/testing/main.ts'

const folders: string[] = []

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
  folders.push(folder)
  return folder
}

/** Removes what the subjects of this process have written. */
export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
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

export function fsSubject(seed: number): StoreSubject {
  const folder = temporaryFolder()
  const paths = new Map<Store, string>()
  let folders = 0
  const open = (path: string): Store => {
    const store = createFsStore(path)
    paths.set(store, path)
    return store
  }
  return {
    open: async () => open(join(folder, String(++folders))),
    reopen: async (store) => {
      await store.close()
      return open(paths.get(store) as string)
    },
    seed,
    // Every record is a file of its own.
    scale: 10,
  }
}
