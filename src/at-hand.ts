import type { Buffering, Companion } from './companion.ts'
import type { JobQueueService } from './job-queue-service.ts'
import type { MemoryStoreOptions } from './store/memory-store.ts'
import type { StorageLike } from './store/storage-items.ts'
import type { Store } from './store/store.ts'

/** What a service falls back on when it is told nothing. */
export interface AtHand {
  memoryStore?: (options: MemoryStoreOptions) => Store
  unstorageStore?: (storage: StorageLike) => Store
  buffers?: (service: JobQueueService) => Companion & Buffering
}

/**
 * The modules that make these put them here when they are loaded. Without a bundler they all are; a
 * bundle leaves out what its app does not name, and then the app is told what to name.
 */
export const AT_HAND: AtHand = {}
