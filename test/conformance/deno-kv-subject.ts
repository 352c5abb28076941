import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDenoKvStore } from '../../adapters/store/deno-kv.ts'
import type { Store } from '../../src/store/store.ts'
import type { StoreSubject } from '../../src/testing/main.ts'

const folders: string[] = []

/** A new folder, for as long as this process. */
export function keepFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
  folders.push(folder)
  return folder
}

/** Removes what the subjects of this process have written. */
export function removeDenoKvFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
}

/** Stores in files, each in one of its own. */
export function denoKvSubject(seed: number): StoreSubject {
  const folder = keepFolder()
  const paths = new Map<Store, string>()
  let files = 0
  const open = (path: string): Store => {
    const store = createDenoKvStore(path)
    paths.set(store, path)
    return store
  }
  return {
    open: async () => open(join(folder, `${++files}.kv`)),
    second: async (store) => open(paths.get(store) as string),
    reopen: async (store) => {
      await store.close()
      return open(paths.get(store) as string)
    },
    seed,
    // Every commit waits for the disk.
    scale: 8,
  }
}

/** Stores on a server, each under a base of its own. */
export function denoKvServerSubject(url: string, seed: number): StoreSubject {
  const bases = new Map<Store, string>()
  const open = (base: string): Store => {
    const store = createDenoKvStore(url, { base })
    bases.set(store, base)
    return store
  }
  return {
    open: async () => open(globalThis.crypto.randomUUID()),
    second: async (store) => open(bases.get(store) as string),
    reopen: async (store) => {
      await store.close()
      return open(bases.get(store) as string)
    },
    seed,
    scale: 10,
  }
}
