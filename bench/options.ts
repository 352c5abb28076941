import { resolve } from 'node:path'
import process from 'node:process'

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

/** A path from where the user is: npm runs scripts in the folder of their package. */
export function pathOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : resolve(process.env['INIT_CWD'] ?? '.', text)
}
