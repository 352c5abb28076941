/**
 * For people who write stores: the port, and the pieces that stores in one process are made of.
 * `docs/writing-a-store.md` says how they fit together.
 *
 * @module
 */
export { neverFalling } from '../clock.ts'
export { systemClock, systemRandom } from '../system.ts'
export { assertCommit, byteLength, CommitRefusal, isWrite } from './commit-rules.ts'
export { addOperations, NO_OPERATIONS } from './operations.ts'
export { RecordIndex } from './record-index.ts'
export { nextRow, type Row, withParts } from './row.ts'
export * from './store.ts'
export { VersionSource } from './version-source.ts'
export { WakeBoard } from './wake-board.ts'
