/** Where the numbers of an object lie, in the order of its properties. */
export interface Counted {
  /** The numbers themselves; live. */
  readonly cells: Float64Array
}

/**
 * A class with the numbers of `Fields`, all 0 at first, in a Float64Array. As plain fields they would be small integers until
 * they pass 2³¹, and V8 would throw away every compiled function that has seen them as such, in the middle of a transfer.
 * The properties are for reading, and for counting what is rare: on the way of every packet an accessor costs tens of
 * nanoseconds, so what is counted there is counted in `cells`, at `place`.
 * @param Fields a class of numbers only
 */
export function counting<T extends object>(Fields: new () => T): new () => T & Counted {
  const names = Object.keys(new Fields())
  const accessors: PropertyDescriptorMap = {}
  for (const [i, name] of names.entries()) {
    accessors[name] = {
      get(): number {
        return (this as Counted).cells[i]!
      },
      set(count: number): void {
        ;(this as Counted).cells[i] = count
      },
      enumerable: true,
      configurable: true,
    }
  }
  // Own properties, so that a copy (`{ ...counters }`) and `Object.entries` have them, and no more than them.
  return class {
    constructor() {
      Object.defineProperty(this, 'cells', { value: new Float64Array(names.length) })
      Object.defineProperties(this, accessors)
    }
  } as unknown as new () => T & Counted
}

/** Index of a number in `cells`. */
export function place<T extends object>(Class: new () => T, name: Exclude<keyof T, keyof Counted>): number {
  return Object.keys(new Class()).indexOf(name as string)
}

/** A copy of the numbers. */
export function numbersOf<T extends Counted>(counts: T): Record<Exclude<keyof T, keyof Counted>, number> {
  return { ...counts } as Record<Exclude<keyof T, keyof Counted>, number>
}
