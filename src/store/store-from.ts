import { WherryError } from '../errors.ts'
import type { Store } from './store.ts'

/** What a service takes as its storage. */
export type StorageSource = Store | PromiseLike<Store>

/** Makes a store of what the user has. Opens nothing. */
export function storeFrom(source: StorageSource): Store | PromiseLike<Store> {
  if ('then' in source || 'commit' in source) return source
  throw new WherryError(
    'input-invalid',
    'Cannot use this as storage: expected a Store, a promise of one, or an unstorage Storage',
  )
}
