/** The middle of several rounds, and how far they lie apart. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** The value below which a share of `values` lies: 0.5 is the median. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const position = (sorted.length - 1) * share
  const below = sorted[Math.floor(position)] ?? Number.NaN
  const above = sorted[Math.ceil(position)] ?? Number.NaN
  return below + (above - below) * (position - Math.floor(position))
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: quantile(values, 0.5), min: Math.min(...values), max: Math.max(...values) }
}

/**
 * How many times as good `ours` is as `theirs`, round by round: two neighbours in time share the
 * machine's mood, two medians do not. A round that one of them lacks is left out.
 */
export function ratios(
  ours: ReadonlyMap<number, number>,
  theirs: ReadonlyMap<number, number>,
  better: 'more' | 'less',
): number[] {
  return [...ours].flatMap(([round, value]) => {
    const other = theirs.get(round)
    if (other === undefined) return []
    return [better === 'more' ? value / other : other / value]
  })
}
