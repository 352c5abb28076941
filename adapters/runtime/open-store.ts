/** Makes a store of whatever a user has: a URL, an unstorage driver, a `Storage` or a `Store`. */
import { type Store, WherryError } from '../../src/main.ts'
import { createUnstorageStore, type StorageLike } from '../../src/store/unstorage-store.ts'
import { type OpenUrl, parseStorageUrl } from './storage-url.ts'

/** What of an unstorage driver tells which store fits it. */
export interface DriverLike extends StorageLike {
  readonly name?: string | undefined
  readonly options?: unknown
  getInstance?: (() => unknown) | undefined
}

/** What of an unstorage `Storage` leads to its driver. */
export interface MountedStorage extends StorageLike {
  getMount(key: string): { readonly driver: DriverLike }
}

export type StorageGiven = string | Store | DriverLike | MountedStorage

/** The stores of a runtime. */
export interface StoreKinds {
  /** By the scheme of a URL. */
  readonly schemes: Readonly<Record<string, OpenUrl>>
  /** By the name of an unstorage driver whose own client makes a better store than its items do. */
  readonly drivers: Readonly<Record<string, (driver: DriverLike) => Store | Promise<Store>>>
}

/**
 * Opens nothing yet: a store connects when it is first used.
 *
 * @throws WherryError `input-invalid` for an unknown scheme, with the list of known ones.
 */
export async function openFrom(
  given: StorageGiven,
  { schemes, drivers }: StoreKinds,
): Promise<Store> {
  if (typeof given === 'string') {
    const url = parseStorageUrl(given, Object.keys(schemes))
    return (schemes[url.scheme] as OpenUrl)(url)
  }
  if ('commit' in given) return given
  if (!('getItem' in given && 'getKeys' in given)) {
    throw new WherryError(
      'input-invalid',
      'Cannot open a store: expected a URL, an unstorage driver, a Storage or a Store',
    )
  }
  const driver = 'getMount' in given ? given.getMount('').driver : given
  const open = drivers[driver.name ?? '']
  return open === undefined ? createUnstorageStore(given) : open(driver)
}
