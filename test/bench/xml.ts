/** An element of an XML document, and the text in it that is no child's. */
export interface XmlElement {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  text: string
}

const ATTRIBUTE = /\s+([\w:-]+)="([^"<]*)"/g
const TAG = /<(\/?)([\w:-]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/y
const ENTITY = /&(?!(?:amp|lt|gt|quot);)/

/** The elements in the order they begin. @throws Error for what is not well-formed (of the XML that plots are made of) */
export function elementsOf(document: string): XmlElement[] {
  const elements: XmlElement[] = []
  const open: XmlElement[] = []
  const text = document.trim()
  for (let at = 0; at < text.length; ) {
    if (text[at] !== '<') {
      const end = text.indexOf('<', at)
      const part = text.slice(at, end < 0 ? undefined : end)
      if (open.length === 0 || ENTITY.test(part)) throw new Error(`"${part}" does not belong there`)
      open.at(-1)!.text += part
      at += part.length
      continue
    }
    TAG.lastIndex = at
    const tag = TAG.exec(text)
    if (tag === null) throw new Error(`no tag: ${text.slice(at, at + 40)}`)
    const [whole, closing, name, attributes, empty] = tag
    at += whole.length
    if (closing === '/') {
      if (open.pop()?.name !== name) throw new Error(`</${name}> closes nothing`)
      continue
    }
    if (open.length === 0 && elements.length > 0) throw new Error('more than one root')
    const element: XmlElement = { name: name!, attributes: attributesIn(attributes!), text: '' }
    elements.push(element)
    if (empty !== '/') open.push(element)
  }
  if (open.length > 0) throw new Error(`<${open.at(-1)!.name}> is not closed`)
  return elements
}

function attributesIn(text: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [, name, value] of text.matchAll(ATTRIBUTE)) {
    if (name! in found || ENTITY.test(value!)) throw new Error(`attribute ${name}: ${value}`)
    found[name!] = value!
  }
  return found
}
