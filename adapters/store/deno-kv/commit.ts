import { inParallel } from '../../../src/store/storage-items.ts'
import type { Put } from '../../../src/store/store.ts'
import type { Access } from './access.ts'
import type { AtomicWrite } from './atomic-write.ts'
import { type Found, foundIn, type Layout } from './layout.ts'
import type { Recent } from './recent.ts'
import type { Texts } from './texts.ts'
import type { Draft, UnitWrite } from './unit-write.ts'

/** Rounds in which units share operations. Who meets rivals in all of them goes on alone. */
const SHARED_ROUNDS = 3

export interface CommitContext {
  readonly access: Access
  readonly layout: Layout
  readonly texts: Texts
  readonly recent: Recent
  readonly now: () => number
}

/** Units that are done by one operation. */
interface Batch {
  readonly write: AtomicWrite
  readonly drafts: Draft[]
}

/**
 * One commit of several units. They share operations, since an operation on a file waits for the disk
 * however little it writes. If one of them fails, all that shared its operation are looked at again.
 */
export class Commit {
  readonly #context: CommitContext
  readonly #units: readonly UnitWrite[]
  readonly #done = new Set<UnitWrite>()
  /** By unit: the versionstamp of the list of what was written ahead of it. */
  readonly #lists = new Map<string, string | null>()

  constructor(context: CommitContext, units: readonly UnitWrite[]) {
    this.#context = context
    this.#units = units
  }

  /** Answers which units were done; of the others an expectation failed. */
  async run(): Promise<ReadonlySet<UnitWrite>> {
    let left = this.#units
    for (let round = 0; left.length > 0; round++) {
      const drafts = await this.#drafts(left, round)
      const batches = this.#batched(drafts, round < SHARED_ROUNDS)
      left = (await inParallel(batches, (batch) => this.#commit(batch))).flat()
    }
    const inVain = this.#units.filter((unit) => !this.#done.has(unit))
    const written = inVain.filter(({ version }) => this.#lists.has(version))
    await inParallel(written, ({ version }) => this.#context.texts.discard(version))
    return this.#done
  }

  async #drafts(units: readonly UnitWrite[], round: number): Promise<Draft[]> {
    const { access, layout, now } = this.#context
    const puts = units.flatMap((unit) => unit.puts)
    const found = round === 0 ? await this.#recall(puts) : await this.#find(puts)
    const drafts = units
      .map((unit) => unit.draft(layout, found, now()))
      .filter((draft) => draft !== null)
    // Nothing is written before all are known to fit.
    for (const { unit, write } of drafts) {
      const listChecks = unit.ahead.length > 0 ? 1 : 0
      write.assertFits(access.checksMax - listChecks)
    }
    await inParallel(drafts, (draft) => this.#writeAhead(draft))
    return drafts
  }

  /** The records as they were lately, where that will do: what is stale, the operation finds out. */
  async #recall(puts: readonly Put[]): Promise<Map<string, Found>> {
    const { recent } = this.#context
    const asked = Map.groupBy(puts, ({ key }) => key)
    const known: Found[] = []
    const open: Put[] = []
    for (const [key, expectations] of asked) {
      const found = recent.get(key)
      if (expectations.every(({ expect }) => expect === null)) continue
      if (expectations.every(({ expect }) => expect === found?.row.version))
        known.push(found as Found)
      else open.push(...expectations)
    }
    const found = await this.#find(open)
    for (const one of known) found.set(one.row.key, one)
    return found
  }

  async #find(puts: readonly Put[]): Promise<Map<string, Found>> {
    const { access, layout } = this.#context
    const keys = new Set(puts.map(({ key }) => key))
    const entries = await access.getMany([...keys].map((key) => layout.record(key)))
    const found = entries.map(foundIn).filter((one) => one !== null)
    return new Map(found.map((one) => [one.row.key, one]))
  }

  async #writeAhead({ unit, write }: Draft): Promise<void> {
    const { texts, layout } = this.#context
    const { version, ahead } = unit
    if (ahead.length === 0) return
    const known = this.#lists.get(version)
    const versionstamp = known ?? (await texts.writeAhead(version, ahead))
    this.#lists.set(version, versionstamp)
    write.check(layout.orphans(version), versionstamp)
  }

  /** Answers the units that are to be tried again. */
  async #commit({ write, drafts }: Batch): Promise<UnitWrite[]> {
    const { access, recent, texts } = this.#context
    const units = drafts.map(({ unit }) => unit)
    const versionstamp = await access.commit(write)
    if (versionstamp !== null) {
      for (const unit of units) this.#done.add(unit)
      for (const row of drafts.flatMap(({ rows }) => rows)) recent.add({ row, versionstamp })
      const leaving = drafts.filter(({ leavesTexts }) => leavesTexts)
      await inParallel(leaving, ({ unit }) => texts.discard(unit.version))
      return []
    }
    if (units.length > 1) return units
    // A commit that fails for its texts has not lost to a rival, which is what its failure would say.
    for (const { version, ahead } of units) {
      if (ahead.length > 0) await texts.assertThere(version, this.#lists.get(version) ?? null)
    }
    return []
  }

  #batched(drafts: readonly Draft[], isShared: boolean): Batch[] {
    const { checksMax } = this.#context.access
    const batches: Batch[] = []
    for (const draft of drafts) {
      const last = batches.at(-1)
      if (isShared && last?.write.absorb(draft.write, checksMax)) last.drafts.push(draft)
      else batches.push({ write: draft.write, drafts: [draft] })
    }
    return batches
  }
}
