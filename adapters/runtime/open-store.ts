/** Makes a store of whatever a user has: a URL, an unstorage driver, a `Storage` or a `Store`. */
import type { Store } from '../../src/main.ts'
import { refusal } from '../../src/refusal.ts'
import type { StorageLike } from '../../src/store/storage-items.ts'
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

/** `instance` is the driver's own client. */
export type OpenDriver = (driver: DriverLike, instance: unknown) => Store | Promise<Store>

export type StorageGiven = string | Store | DriverLike | MountedStorage

/** The stores of a runtime. */
export interface StoreKinds {
  /** By the scheme of a URL. */
  readonly schemes: Readonly<Record<string, OpenUrl>>
  /** By the name of an unstorage driver whose own client makes a better store than its items do. */
  readonly drivers: Readonly<Record<string, OpenDriver>>
  /** For any other driver. */
  readonly generic: (storage: StorageLike, driver: string) => Store | Promise<Store>
}

/**
 * Opens nothing yet: a store connects when it is first used.
 *
 * @throws WherryError `input-invalid` for an unknown scheme, with the list of known ones.
 */
export async function openFrom(
  given: StorageGiven,
  { schemes, drivers, generic }: StoreKinds,
): Promise<Store> {
  if (typeof given === 'string') {
    const url = parseStorageUrl(given, Object.keys(schemes))
    return (schemes[url.scheme] as OpenUrl)(url)
  }
  if ('commit' in given) return given
  if (!('getItem' in given && 'getKeys' in given)) {
    throw refusal(
      'open a store',
      'this is none',
      'a URL, an unstorage driver, a Storage or a Store',
    )
  }
  const driver = 'getMount' in given ? given.getMount('').driver : given
  const { name = '' } = driver
  const open = drivers[name]
  return open ? open(driver, await driver.getInstance?.()) : generic(given, name)
}

/** The prefix that the user gave the driver, if any. */
export function baseOf({ options }: DriverLike): string | undefined {
  return (options as { readonly base?: string } | undefined)?.base || undefined
}
