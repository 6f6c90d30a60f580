/**
 * A class with the numbers of `Fields`, all 0 at first, in a Float64Array. As plain fields they would be small integers until
 * they pass 2³¹, and V8 would throw away every compiled function that has seen them as such, in the middle of a transfer.
 * @param Fields a class of numbers only
 */
export function counting<T extends object>(Fields: new () => T): new () => T {
  const cells = Symbol('cells')
  type Cells = { readonly [cells]: Float64Array }
  const names = Object.keys(new Fields())
  const accessors: PropertyDescriptorMap = {}
  for (const [i, name] of names.entries()) {
    accessors[name] = {
      get(): number {
        return (this as Cells)[cells][i]!
      },
      set(count: number): void {
        const { [cells]: array } = this as Cells
        array[i] = count
      },
      enumerable: true,
    }
  }
  // Own properties, so that a copy (`{ ...counters }`) and `Object.entries` have them.
  return class {
    constructor() {
      Object.defineProperty(this, cells, { value: new Float64Array(names.length) })
      Object.defineProperties(this, accessors)
    }
  } as unknown as new () => T
}
