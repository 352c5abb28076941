/**
 * Jobs in any unstorage `Storage` or driver, for one process at a time. Guarantee: `process`.
 *
 * @module
 */
export {
  createUnstorageStore,
  type StorageLike,
  type UnstorageStoreOptions,
} from '../../src/store/unstorage-store.ts'
