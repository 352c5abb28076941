/**
 * For people who write stores, and for tests of code that uses the queue: the conformance suite as
 * data, a clock that moves when told to, and seeded randomness.
 *
 * @module
 */
export { FakeClock } from './fake-clock.ts'
export { pick, randomBelow, seededRandom } from './seeded-random.ts'
export { storeCases } from './store-cases.ts'
export {
  type Assert,
  type Needs,
  registerStoreSuite,
  runStoreCase,
  type StoreCase,
  type StoreSubject,
  type StoreTrial,
  skipReason,
} from './store-suite.ts'
