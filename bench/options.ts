/** The names of a list like `a,b`, in the order of the known ones. */
export function chosen<Name extends string>(
  option: string,
  text: string,
  known: readonly Name[],
): Name[] {
  const names = text.split(',')
  const unknown = names.find((name) => !(known as readonly string[]).includes(name))
  if (unknown === undefined) return known.filter((name) => names.includes(name))
  throw new Error(
    `Cannot take --${option} "${text}": there is no "${unknown}", only ${known.join(', ')}`,
  )
}

/** A whole number from 1. */
export function whole(option: string, text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  throw new Error(`Cannot take --${option} "${text}": expected a whole number from 1`)
}
